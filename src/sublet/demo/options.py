"""What a person may choose about a demo run."""

from dataclasses import dataclass
from pathlib import Path

from sublet.core.errors import Invalid
from sublet.demo.terms import Pace

SLOTS_MAX = 64
SPEED_MAX = 100_000.0
HOURS_MAX = 24.0 * 31
LONGEST_S = 3_600.0
SHORTEST_S = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """One run. `speed` is trace seconds for each real second, `hours` how much of the trace's end is played."""

    slots: int = 8
    speed: float = 1_440.0
    hours: float = 24.0
    trace: Path | None = None  # None: the day in the package
    seed: int = 0
    data_dir: Path = Path("demo-data")
    port: int = 0  # 0: a free one
    live: bool = True  # draw the view, where there is a terminal
    keep: bool = False  # stay up afterwards, for the page
    engine: str = ""  # slurm: the cluster that the settings name; empty: this machine
    largest: int | None = None  # GPUs of one node; None: all slots

    @property
    def pace(self) -> Pace:
        """How long everything takes there."""
        return Pace(3) if self.engine == "slurm" else Pace()

    @property
    def length_s(self) -> float:
        """How long the day takes, in real seconds."""
        return self.hours * 3_600 / self.speed


def check(options: Options) -> None:
    """Raise `Invalid` naming the option that cannot be."""
    bounds = (
        ("slots", options.slots, 2, SLOTS_MAX),
        ("speed", options.speed, 1, SPEED_MAX),
        ("hours", options.hours, 0.1, HOURS_MAX),
    )
    for name, value, least, most in bounds:
        if not least <= value <= most:
            raise Invalid(f"{value:g} is out of range: {least:g} to {most:g}", field=f"--{name}", hint="choose one in between")
    if not SHORTEST_S <= options.length_s <= LONGEST_S:
        hint = f"at --speed {options.speed:g} the day takes {options.length_s:.3g} s; change --speed or --hours"
        said = f"a run takes {SHORTEST_S:g} s to {LONGEST_S:g} s"
        raise Invalid(said, field="--speed", hint=hint)
