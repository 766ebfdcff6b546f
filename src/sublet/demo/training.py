"""The training run of the demo: a small network learns a formula, saves its work, and goes on where it stopped.

It is an ordinary workload and knows nothing of the demo: on SIGTERM it saves, says so with `sublet.checkpointed()` and exits
with 85; the next attempt finds the checkpoint. Full-batch gradient descent falls steadily, so a loss that rose after a
restart would give lost work away. It sleeps most of the time: a demo needs no heat.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import numpy.typing as npt

import sublet

CHECKPOINTED = 85
STEP_SLEEP_S = 0.02
SAVE_EVERY_S = 1.0
PRINT_EVERY = 10
RATE = 0.02
POINTS, HIDDEN = 128, 24

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Model:
    """One hidden layer of tanh: weights and biases, in and out."""

    w_in: Floats
    b_in: Floats
    w_out: Floats
    b_out: Floats

    def descend(self, x: Floats, y: Floats) -> tuple[float, "Model"]:
        """(mean squared error, the model after one step down its gradient)."""
        hidden = np.tanh(x @ self.w_in + self.b_in)
        error = hidden @ self.w_out + self.b_out - y
        out = 2.0 * error / len(x)
        inner = (out @ self.w_out.T) * (1.0 - hidden**2)
        down = Model(
            self.w_in - RATE * (x.T @ inner),
            self.b_in - RATE * inner.sum(axis=0),
            self.w_out - RATE * (hidden.T @ out),
            self.b_out - RATE * out.sum(axis=0),
        )
        return float((error**2).mean()), down


def fresh() -> Model:
    """Where training starts, the same every time."""
    rng = np.random.default_rng(7)
    return Model(
        rng.normal(0.0, 2.0, (1, HIDDEN)), rng.normal(0.0, 1.0, HIDDEN), rng.normal(0.0, 0.3, (HIDDEN, 1)), np.zeros(1)
    )


def formula() -> tuple[Floats, Floats]:
    """What is learned: a line of points and a wave over them."""
    x = np.linspace(-1.0, 1.0, POINTS)[:, None]
    return x, np.sin(3.0 * x) + 0.5 * np.cos(9.0 * x)


def save(directory: Path, step: int, model: Model) -> None:
    """Write aside and rename, so that a half-written checkpoint is never found; then tell Sublet of it."""
    aside = directory / "aside.npz"
    np.savez(aside, step=np.int64(step), w_in=model.w_in, b_in=model.b_in, w_out=model.w_out, b_out=model.b_out)
    aside.replace(directory / "model.npz")
    sublet.checkpointed()


def load(directory: Path) -> tuple[int, Model]:
    """The last checkpoint, or the start."""
    saved = directory / "model.npz"
    if not saved.exists():
        return 0, fresh()
    with np.load(saved) as file:
        return int(file["step"]), Model(file["w_in"], file["b_in"], file["w_out"], file["b_out"])


def train(directory: Path) -> int:
    """Train until SIGTERM; returns the exit code."""
    told: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    signal.signal(signal.SIGTERM, hear)
    x, y = formula()
    step, model = load(directory)
    if step:
        print(f"resumed at step {step}", flush=True)
    saved_at = time.monotonic()
    while not told:
        loss, model = model.descend(x, y)
        if step % PRINT_EVERY == 0:
            print(f"step {step} loss {loss:.6f}", flush=True)
        step += 1
        if time.monotonic() - saved_at >= SAVE_EVERY_S:
            save(directory, step, model)
            saved_at = time.monotonic()
        time.sleep(STEP_SLEEP_S)
    save(directory, step, model)
    print(f"saved at step {step}", flush=True)
    return CHECKPOINTED


if __name__ == "__main__":
    sys.exit(train(Path(os.environ["SUBLET_CHECKPOINT_DIR"])))
