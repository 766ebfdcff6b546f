"""`python -m sublet.weights.tune`: trains a low-rank adapter on conversations, in a lease that may be taken back at any time.

What it is to do stands in `SUBLET_TUNE` (JSON, `Asked`). It saves itself below `SUBLET_CHECKPOINT_DIR` every few seconds and
when it is noticed, and then ends with exit code 85; the next attempt goes on with the very next step, so that a run that was
reclaimed finds the same adapter as one that was left alone. What it has to tell it prints, one JSON document a line after
`TOLD`; the last one carries the adapter, which is small.
"""

import base64
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import sublet
from sublet.core.errors import Invalid, SubletError
from sublet.core.tuning import RATE
from sublet.core.workload import CHECKPOINTED_EXIT
from sublet.weights import gguf
from sublet.weights.bpe import Tokenizer
from sublet.weights.llama import Adam, Adapter, Floats, Llama, Opened, Tokens, Weights, opened

TOLD = "sublet-tune: "
ASKED = "SUBLET_TUNE"
_SAVE_S = 5.0
_TELL_EVERY = 10  # steps, and more of them where a run has very many
_TOLD_MAX = 1_000
_ROLES: Mapping[str, str] = {"user": "<|user|>", "system": "<|user|>", "assistant": "<|assistant|>"}
_END = "</s>"
Example = tuple[list[int], list[bool]]
"""Tokens, and which of them are to be learnt."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is to do."""

    base: str  # a GGUF file
    data: str  # a file of conversations, one JSON document a line
    epochs: int = 3
    batch: int = 8
    rate: float = RATE
    rank: int = 8
    alpha: float = 16.0
    seed: int = 0
    validation: str = ""  # a file like `data`, of which nothing is learnt; empty: none


def examples(text: str, tokenizer: Tokenizer, *, length: int, what: str = "training") -> list[Example]:
    """The conversations of a file; raises `Invalid` that names the first line that is none."""
    numbered = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    found = [_example(line, number, tokenizer, length, what) for number, line in numbered]
    if not found:
        hint = 'each line is {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}'
        raise Invalid(f"the {what} file is empty", field=f"{what}_file", hint=hint)
    return found


def _example(line: str, number: int, tokenizer: Tokenizer, length: int, what: str) -> Example:
    field = f"{what}_file"
    tokens: list[int] = []
    learnt: list[bool] = []
    try:
        for message in json.loads(line)["messages"]:
            mark, content = _ROLES[message["role"]], message["content"]
            head, said = tokenizer.encode(mark), tokenizer.encode(content + _END)  # TypeError: its content is no text
            tokens += [*head, *said]
            counts = message["role"] == "assistant" and message.get("weight", 1) != 0
            learnt += [False] * len(head) + [counts] * len(said)
    except (ValueError, KeyError, TypeError) as error:
        hint = 'write {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'
        raise Invalid(f"line {number} of the {what} file is no conversation: {error!r}", field=field, hint=hint) from error
    if not any(learnt):
        raise Invalid(f"line {number} has no answer to learn", field=field, hint="add a message of the assistant")
    if len(tokens) > length:
        hint = "make it shorter, or cut it into several"
        raise Invalid(f"line {number} has {len(tokens)} tokens; {length} at most", field=field, hint=hint)
    return tokens, learnt


class Tuning:
    """A run: so many steps, each of which depends on nothing but its number and the state before it.

    After each epoch it is judged by the examples of `validation`, of which nothing is learnt.
    """

    def __init__(self, asked: Asked, model: Opened, data: Sequence[Example], validation: Sequence[Example] = ()) -> None:
        self.asked, self._data, self._validation = asked, data, validation
        self.loss = 0.0  # of the last step, in nats a token
        self._judged = 0  # after how many steps it was judged last
        rng = np.random.default_rng(asked.seed)
        self.adapter = Adapter.fresh(model.weights, rank=asked.rank, alpha=asked.alpha, rng=rng)
        self._llama = Llama(model.shape, model.weights, self.adapter)
        self._climb = Adam(self.adapter.weights)
        self._per_epoch = -(-len(data) // asked.batch)

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self._per_epoch * self.asked.epochs

    @property
    def done(self) -> int:
        """Steps that were made."""
        return self._climb.steps

    @property
    def trained_tokens(self) -> int:
        """Tokens that all epochs see."""
        return self.asked.epochs * sum(len(tokens) for tokens, _ in self._data)

    def step(self) -> float:
        """One step; its loss in nats a token."""
        epoch, nth = divmod(self.done, self._per_epoch)
        order = np.random.default_rng([self.asked.seed, epoch]).permutation(len(self._data))
        some = [self._data[at] for at in order[nth * self.asked.batch : (nth + 1) * self.asked.batch]]
        batch, counted = _batch(some)
        self.loss, gradients = self._llama.loss(batch[:, :-1], batch[:, 1:], counted[:, 1:])
        self._climb.step(gradients, self.asked.rate * (1 - self.done / self.steps))
        return self.loss

    @property
    def to_judge(self) -> bool:
        """Whether an epoch is over after which it was not judged yet."""
        return bool(self._validation) and self._judged != self.done and self.done % self._per_epoch == 0

    def judge(self, going_on: Callable[[], bool] = lambda: True) -> float | None:
        """The loss on what is not learnt, in nats a token; None: it was told to stop, and is to be judged again."""
        found, tokens = 0.0, 0.0
        for start in range(0, len(self._validation), self.asked.batch):
            if not going_on():
                return None
            batch, counted = _batch(self._validation[start : start + self.asked.batch])
            found += self._llama.surprise(batch[:, :-1], batch[:, 1:], counted[:, 1:])
            tokens += float(counted[:, 1:].sum())
        self._judged = self.done
        return found / max(tokens, 1.0)

    def save(self, path: Path) -> None:
        """Put everything down that the next attempt needs, whole or not at all."""
        draft = path.with_name(f".{path.name}.new")
        marks = {"steps": np.array(self.done), "judged": np.array(self._judged), "loss": np.array(self.loss)}
        arrays: dict[str, Any] = {**marks, **self.adapter.weights, **self._climb.state}
        with draft.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from what was put down."""
        with np.load(path) as kept:
            self._climb.steps = int(kept["steps"])
            if "judged" in kept:  # what an older version put down has no word of it
                self._judged, self.loss = int(kept["judged"]), float(kept["loss"])
            for where in (self.adapter.weights, self._climb.state):
                for name, value in where.items():
                    value[...] = kept[name]


def _batch(some: Sequence[Example]) -> tuple[Tokens, Floats]:
    """Examples side by side: their tokens and how much each counts, both (B, T), with zeros behind the shorter ones."""
    width = max(len(tokens) for tokens, _ in some)
    batch = np.zeros((len(some), width), np.int64)
    counted = np.zeros((len(some), width), np.float32)
    for row, (tokens, learnt) in enumerate(some):
        batch[row, : len(tokens)], counted[row, : len(tokens)] = tokens, learnt
    return batch, counted


def packed(adapter: Adapter) -> str:
    """An adapter as text."""
    file = io.BytesIO()
    arrays: dict[str, Any] = {"scale": np.array(adapter.scale), **adapter.weights}
    np.savez_compressed(file, **arrays)
    return base64.b64encode(file.getvalue()).decode()


def unpacked(text: str) -> Adapter:
    """The adapter behind `packed`."""
    with np.load(io.BytesIO(base64.b64decode(text))) as kept:
        weights: Weights = {name: kept[name] for name in kept.files if name != "scale"}
        return Adapter(weights, float(kept["scale"]))


def tell(**what: Any) -> None:
    """One line for whoever reads the output."""
    print(TOLD + json.dumps({"at": round(time.time(), 3), **what}), flush=True)


def main() -> None:
    """Train until it is done, or until the owner wants the machine back."""
    asked = Asked(**json.loads(os.environ[ASKED]))
    try:
        head = gguf.read(Path(asked.base))
        model = opened(head)
        length = int(head.of_architecture("context_length"))
        data = examples(Path(asked.data).read_text(), model.tokenizer, length=length)
        validation: list[Example] = []
        if asked.validation:
            validation = examples(Path(asked.validation).read_text(), model.tokenizer, length=length, what="validation")
    except SubletError as error:
        tell(event="failed", message=error.message, hint=error.hint, field=error.field or "training_file")
        sys.exit(1)
    noticed: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: noticed.append(number))
    checkpoint = Path(os.environ.get("SUBLET_CHECKPOINT_DIR", ".")) / "tuning.npz"
    run = Tuning(asked, model, data, validation)
    if checkpoint.exists():
        run.resume(checkpoint)
    tell(event="resumed" if run.done else "started", step=run.done, steps=run.steps, asked=asdict(asked))
    saved, every = time.monotonic(), max(_TELL_EVERY, run.steps // _TOLD_MAX)
    while run.done < run.steps or run.to_judge:
        if not run.to_judge:
            run.step()
        judged = run.judge(lambda: not noticed) if run.to_judge else None
        if judged is not None or (not run.to_judge and (run.done % every == 0 or run.done == run.steps)):
            more = {} if judged is None else {"valid_loss": round(judged, 4)}
            tell(event="step", step=run.done, steps=run.steps, loss=round(run.loss, 4), **more)
        if noticed or time.monotonic() - saved > _SAVE_S:
            run.save(checkpoint)
            sublet.checkpointed()
            saved = time.monotonic()
        if noticed:
            tell(event="checkpointed", step=run.done, steps=run.steps)
            sys.exit(CHECKPOINTED_EXIT)
    tell(event="done", step=run.done, trained_tokens=run.trained_tokens, adapter=packed(run.adapter))


if __name__ == "__main__":
    main()
