"""What a stream has told its caller so far, and from where it can go on so that nothing is told twice or left out.

A choice speaks on channels: its content, its reasoning, the arguments of each tool call. For plain content the tokens behind
the text are remembered, with the length of the text after each, as long as none is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Channel = tuple[int, str, int]  # choice, kind, number of the tool call
CONTENT, REASONING, TOOL = "content", "reasoning", "tool"


@dataclass(frozen=True, slots=True)
class Hole:
    """A piece of text of several tokens of which only the last is known."""

    tokens: int
    text: str
    last: int


@dataclass(slots=True)
class Said:
    """All that one request's stream has said."""

    text: dict[Channel, list[str]] = field(default_factory=dict)
    bytes: dict[Channel, int] = field(default_factory=dict)
    ids: list[int | Hole] = field(default_factory=list)  # of choice 0, as far as they are known
    ends: list[int] = field(default_factory=list)  # bytes of content after each of them
    gap: bool = False  # from here on they are not
    plain: bool = True  # nothing but the content of choice 0 so far
    finished: set[int] = field(default_factory=set)

    def note(self, channel: Channel, piece: str) -> None:
        """A piece was told."""
        self.text.setdefault(channel, []).append(piece)
        self.bytes[channel] = self.bytes.get(channel, 0) + len(piece.encode("utf-8", "surrogatepass"))
        if channel != (0, CONTENT, 0):
            self.plain = False

    def note_ids(self, ids: Sequence[int], missing: int | None, piece: str, *, end: int) -> None:
        """The tokens behind a piece, which ends so many bytes from the beginning; `missing` others stand before them.

        None: it is not known how many.
        """
        if self.gap or missing is None or (missing and len(ids) != 1):
            self.gap = True
            return
        if missing:
            ids, one = [], Hole(missing + 1, piece, ids[0])
            self.ids.append(one)
            self.ends.append(end)
        self.ids += ids
        self.ends += [end] * len(ids)

    @property
    def tokens(self) -> int:
        """How many tokens are known, with those in holes."""
        return sum(one.tokens if isinstance(one, Hole) else 1 for one in self.ids)

    def keep_ids(self, known: int | None) -> int:
        """Go on after so many tokens, None: after the text; returns up to which byte they reach."""
        self.gap = known is None
        if known is None:
            return self.bytes.get((0, CONTENT, 0), 0)
        del self.ids[known:], self.ends[known:]
        return self.ends[-1] if known else 0

    def told(self, channel: Channel) -> str:
        """Everything told on a channel."""
        return "".join(self.text.get(channel, ()))


@dataclass(slots=True)
class Resume:
    """How to go on: the tokens to go on from, and what is told again on each channel and must be left out."""

    skips: dict[Channel, bytes] = field(default_factory=dict)
    tool_heads: frozenset[Channel] = frozenset()  # tool calls whose names were told
    ids: tuple[int, ...] = ()  # the tokens to go on from
    knows_ids: bool = True  # False: it goes on from the text, and tokens cannot be counted on
    before: int = 0  # tokens that need not be said again

    def rest(self, channel: Channel, piece: str) -> str:
        """What of a piece is new; raises `Diverged` when it differs from what was told."""
        skip = self.skips.get(channel)
        if not skip:
            return piece
        raw = piece.encode("utf-8", "surrogatepass")
        overlap = min(len(skip), len(raw))
        if raw[:overlap] != skip[:overlap]:
            raise Diverged(channel)
        self.skips[channel] = skip[overlap:]
        return raw[overlap:].decode("utf-8", "surrogatepass")


class Diverged(Exception):
    """What a replica said again is not what was told."""


def from_tokens(said: Said, ids: Sequence[int], told_bytes: int) -> Resume:
    """Go on after these tokens, which are so many bytes of what was told. What was told beyond them will come again."""
    channel = (0, CONTENT, 0)
    skip = said.told(channel).encode("utf-8", "surrogatepass")[told_bytes:]
    return Resume({channel: skip} if skip else {}, ids=tuple(ids), before=len(ids))


def fill(said: Said, hole: Hole, ids: Sequence[int]) -> None:
    """Put the tokens in the place of a hole."""
    at = said.ids.index(hole)
    said.ids[at : at + 1] = ids
    before = said.ends[at - 1] if at else 0
    said.ends[at : at + 1] = [*[before] * (len(ids) - 1), said.ends[at]]  # the piece was told with its last token


def settled_ids(said: Said) -> tuple[list[int], int]:
    """The tokens whose text was told, up to the first hole, and its bytes.

    Tokens at the end that told nothing may be held back: they are drawn again.
    """
    known = next((nth for nth, one in enumerate(said.ids) if isinstance(one, Hole)), len(said.ids))
    while known and said.ends[known - 1] == (said.ends[known - 2] if known > 1 else 0):
        known -= 1
    return [one for one in said.ids[:known] if isinstance(one, int)], said.ends[known - 1] if known else 0


def from_start(said: Said) -> Resume:
    """Say everything again and leave out what was told."""
    skips = {channel: said.told(channel).encode("utf-8", "surrogatepass") for channel in said.text}
    heads = frozenset(channel for channel in said.text if channel[1] == TOOL)
    return Resume(skips, heads)


def pieces(choice: Mapping[str, Any]) -> list[tuple[Channel, str]]:
    """What a chunk's choice says, by channel."""
    index = int(choice.get("index") or 0)
    text = choice.get("text")
    if text is not None:
        return [((index, CONTENT, 0), text)] if text else []
    delta = choice.get("delta") or {}
    found: list[tuple[Channel, str]] = []
    if delta.get("content"):
        found.append(((index, CONTENT, 0), delta["content"]))
    if delta.get("reasoning_content"):
        found.append(((index, REASONING, 0), delta["reasoning_content"]))
    for call in delta.get("tool_calls") or ():
        function = call.get("function") or {}
        found.append(((index, TOOL, int(call.get("index") or 0)), function.get("arguments") or ""))
    return found


def content_of(choice: Mapping[str, Any]) -> str:
    """The content of a chunk's choice."""
    text = choice.get("text")
    if text is None:
        text = (choice.get("delta") or {}).get("content")
    return text or ""
