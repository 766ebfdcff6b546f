"""Offers and the providers behind them, and what a workload needs. Money in micro-units, times in hours, data in GB."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sublet.core.finishing import Habit
from sublet.core.residency import Label, Party

ON_DEMAND, SPOT, COMMIT_1Y, COMMIT_3Y = "on demand", "spot", "1 year", "3 years"
YEAR_H = 8_760.0
MODES: Mapping[str, float] = {ON_DEMAND: 0.0, SPOT: 0.0, COMMIT_1Y: YEAR_H, COMMIT_3Y: 3 * YEAR_H}
"""How an instance is paid, and for how many hours at least."""
SOFTWARE = ("container", "vm", "bare-metal", "model-api", "llama", "macos", "cuda", "rocm")
"""What a workload may need and a provider may have."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What is the same for all offers of one provider. None: nobody says, and then it counts as the worst.

    `hazard_h`: interruptions an hour of a spot instance where the offer does not say. `support` and the three parts of
    `lock_in` are of 1; `lock_in` 0 is none. `notice_s` is that of a spot interruption.
    """

    name: str
    kind: str  # home | own surplus | sublet site | hyperscaler | gpu cloud | marketplace | apple
    operator_country: str | None = None
    country: str | None = None  # of all its places, where offers name none
    egress_micro_gb: int = 0
    storage_micro_gb_month: int = 0
    start_h: float = 0.1  # from asking to a working instance, which is paid
    wait_h: float = 0.0  # in a queue, which is not
    least_h: float = 0.0  # an instance is paid for at least so long
    hazard_h: float | None = None
    notice_s: float | None = None
    support: float | None = None
    lock_in: tuple[float, float, float] | None = None  # API, image, data
    software: frozenset[str] = frozenset()
    contract: str = ""
    regimes: tuple[str, ...] = ()
    certifications: tuple[str, ...] = ()
    safeguards: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)  # by field, with its date


@dataclass(frozen=True, slots=True)
class Offer:
    """One instance at one place, paid in one way. `price_micro` is of the whole instance for an hour.

    `hazard_h` is of one instance, and a gang of several is interrupted where any of them is; with `whole`, of a whole run.
    """

    provider: str
    region: str | None
    instance: str
    mode: str
    gpu_model: str  # as `models.plain` writes it
    gpus: float
    price_micro: int
    country: str | None = None
    hazard_h: float | None = None
    whole: bool = False
    as_of: str = ""
    source: str = ""

    @property
    def name(self) -> str:
        """As people read it."""
        return " ".join(part for part in (self.provider, self.region, self.instance, self.mode) if part)


@dataclass(frozen=True, slots=True)
class Needs:
    """A workload: `gpus` of one of `models`, each with its speed against the one that `work_h` was measured on.

    One run after the other, `runs` of them. `habit` and `saves` say how it bears an interruption. `must` of SOFTWARE it cannot
    do without, `wants` it would use. `idle_h` of a run it holds its GPUs and does nothing.
    """

    name: str
    gpus: int
    models: Mapping[str, float]
    work_h: float
    runs: int = 1
    habit: Habit = field(default_factory=Habit)
    saves: bool = True
    interruptible: bool = True
    in_gb: float = 0.0
    out_gb: float = 0.0
    kept_gb: float = 0.0
    gb_per_h: float = 450.0  # 1 Gbit/s
    idle_h: float = 0.0
    must: frozenset[str] = frozenset()
    wants: frozenset[str] = frozenset()
    deadline_h: float | None = None
    most_micro: int | None = None
    label: Label = field(default_factory=Label)
    tenant: Party = field(default_factory=lambda: Party(""))
    weights: Mapping[str, float] = field(default_factory=dict)
    home_egress_micro_gb: int = 0
