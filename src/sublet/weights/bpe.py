"""Byte-level BPE as GPT-2 has it, and as llama.cpp reads it from a GGUF file with `tokenizer.ggml.pre = gpt-2`.

Text is cut into words by `_WORD`, each word into bytes, and neighbouring pieces are joined in the order in which the merges
were learnt. A byte is written as one printable character, so that every piece is text.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

_WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
"""GPT-2's cut in the words of `re`: letters are word characters that are neither digits nor the underscore."""
Pair = tuple[str, str]


@lru_cache(maxsize=1)
def alphabet() -> tuple[str, ...]:
    """The character of each byte: itself where it is printable, else one from 256 on."""
    plain = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return tuple(chr(byte if byte in plain else next(others)) for byte in range(256))


@dataclass(frozen=True)
class Tokenizer:
    """Tokens by number, and the merges by rank. `specials` are matched before anything else."""

    tokens: Sequence[str]
    merges: Sequence[Pair]
    specials: Sequence[str]
    _ids: dict[str, int] = field(init=False, default_factory=dict)
    _ranks: dict[Pair, int] = field(init=False, default_factory=dict)
    _known: dict[str, list[int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._ids.update({token: number for number, token in enumerate(self.tokens)})
        self._ranks.update({pair: rank for rank, pair in enumerate(self.merges)})

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, special tokens that stand in it among them."""
        found: list[int] = []
        cut = re.split("(" + "|".join(map(re.escape, self.specials)) + ")", text) if self.specials else [text]
        for part in cut:
            if part in self._ids and part in self.specials:
                found.append(self._ids[part])
            else:
                for word in _WORD.findall(part):
                    found += self._word(word)
        return found

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of tokens; special ones are left out."""
        bytes_of = {character: byte for byte, character in enumerate(alphabet())}
        text = "".join(self.tokens[number] for number in numbers if self.tokens[number] not in self.specials)
        return bytes(bytes_of[character] for character in text).decode(errors="replace")

    def _word(self, word: str) -> list[int]:
        if word not in self._known:
            pieces = _letters(word)
            while len(pieces) > 1:
                ranks = [self._ranks.get(pair, len(self._ranks)) for pair in pairwise(pieces)]
                best = min(ranks)
                if best == len(self._ranks):
                    break
                pieces = _joined(pieces, self.merges[best])
            self._known[word] = [self._ids[piece] for piece in pieces]
        return self._known[word]


def learnt(text: str, *, size: int, specials: Sequence[str]) -> Tokenizer:
    """A tokenizer of `size` tokens, learnt on a text: specials first, then the bytes, then one token for each merge.

    The most frequent pair is merged first; of equally frequent ones the one that sorts first, so that it is always the same.
    """
    words = {tuple(_letters(word)): count for word, count in Counter(_WORD.findall(text)).items()}
    pieces = [(list(word), count) for word, count in sorted(words.items())]
    where: dict[Pair, set[int]] = defaultdict(set)
    counts: Counter[Pair] = Counter()
    for number, (word, count) in enumerate(pieces):
        for pair in pairwise(word):
            counts[pair] += count
            where[pair].add(number)
    merges: list[Pair] = []
    while len(specials) + 256 + len(merges) < size and counts:
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        for number in sorted(where.pop(best)):
            _merge_in(pieces, number, best, counts, where)
        counts.pop(best, None)
    return Tokenizer([*specials, *alphabet(), *("".join(pair) for pair in merges)], merges, tuple(specials))


def from_values(values: Mapping[str, Sequence[str]], kinds: Sequence[int]) -> Tokenizer:
    """The tokenizer of a GGUF head. `kinds`: 3 is a control token."""
    tokens = values["tokenizer.ggml.tokens"]
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in values["tokenizer.ggml.merges"])]
    return Tokenizer(tokens, merges, tuple(token for token, kind in zip(tokens, kinds, strict=True) if kind == 3))


def _letters(word: str) -> list[str]:
    return [alphabet()[byte] for byte in word.encode()]


def _joined(pieces: list[str], pair: Pair) -> list[str]:
    made, at = [], 0
    while at < len(pieces):
        if at + 1 < len(pieces) and (pieces[at], pieces[at + 1]) == pair:
            made.append(pieces[at] + pieces[at + 1])
            at += 2
        else:
            made.append(pieces[at])
            at += 1
    return made


def _merge_in(
    pieces: list[tuple[list[str], int]], number: int, pair: Pair, counts: Counter[Pair], where: dict[Pair, set[int]]
) -> None:
    """Merge a pair in one word, and keep the counts of pairs and where they stand."""
    word, count = pieces[number]
    for old in pairwise(word):
        counts[old] -= count
        if counts[old] <= 0:
            del counts[old]
    after = _joined(word, pair)
    pieces[number] = (after, count)
    for new in pairwise(after):
        counts[new] += count
        where[new].add(number)
