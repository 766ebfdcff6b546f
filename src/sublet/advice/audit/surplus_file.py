"""What the surplus costs and how it is taken back, as people write it: one TOML file, each key with a default.

The defaults are in `surplus.toml` beside this file, each with its source. A key that is unknown is an error: an assumption that
is misspelt must not look as if it were made.
"""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sublet.advice.finance.units import HourPrice, Share, bounded, said
from sublet.app.complaints import InvalidFields, explain
from sublet.app.quantities import Seconds, Text
from sublet.core.audit.options import Surplus
from sublet.core.errors import Invalid
from sublet.core.finishing import Habit, Risk, of_term
from sublet.core.units import HOUR_US, MICRO, MINUTE_US, SECOND_US

SHIPPED = "surplus.toml"
HINT = "docs/how-to/audit-your-jobs.md has every key; `sublet audit --show-surplus` prints the file that is used without one"
_HOURS = bounded(0, 8_760, "hours")
_RATES = Annotated[float, *bounded(0, 1_000, "reclaims an hour of a running lease")]
Hour = Annotated[float, *_HOURS]
Term = Annotated[int, Field(ge=1, le=336)]
Waits = Annotated[tuple[Annotated[float, *bounded(0, 31_536_000, "seconds")], ...], Field(min_length=2, max_length=400)]


class Part(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HomePart(Part):
    """`[home]`: where the jobs run now."""

    gpu_h: HourPrice = said("{currency}/GPU-h", "what a GPU-hour costs there, everything counted")


class SpotPart(Part):
    """`[spot]`."""

    gpu_h: HourPrice = said("{currency}/GPU-h", "the clearing price")


class GuardedPart(Part):
    """`[[guarded]]`: a length that is sold."""

    hours: Term = said("h", "length of the term")
    gpu_h: HourPrice = said("{currency}/GPU-h", "price, the risk price included")
    reclaimed: Share = said("of leases", "that the owner takes back before the end of the term")


class BlockPart(Part):
    """`[block]`."""

    gpu_h: HourPrice = said("{currency}/GPU-h", "price of whole nodes from a start to an end")
    node_gpus: Annotated[int, Field(ge=1, le=64)] = said("GPUs", "of a node", default=8)
    lead_h: Hour = said("h", "from asking to the start, the grid of windows counted in", default=1.0)
    longest_h: Hour = said("h", "the longest block", default=336.0)


class BatchPart(Part):
    """`[batch_api]`: a model API that answers within a day."""

    gpu_h: HourPrice = said("{currency}/GPU-h", "price there of what a GPU-hour of yours answers")
    within_h: Hour = said("h", "promised end", default=24.0)


class WorkPart(Part):
    """`[work]`: how jobs save, and what a reclaim takes."""

    checkpoint: Seconds = said("s", "of running, from one checkpoint to the next", default=HOUR_US)
    save: Seconds = said("s", "writing one takes so long", default=30 * SECOND_US)
    restart: Seconds = said("s", "work that a new attempt repeats", default=MINUTE_US)
    notice: Seconds = said("s", "of a reclaim; free of charge", default=120 * SECOND_US)
    turn: Seconds = said("s", "hand-over and start, between two runs", default=70 * SECOND_US)
    backoff: Seconds = said("s", "after a reclaim, doubling with each", default=MINUTE_US)
    backoff_max: Seconds = said("s", "the longest", default=HOUR_US)


class WaitsPart(Part):
    """`[guarded_waits]`: how long guarded leases wait, as evenly spaced quantiles by size."""

    sizes: Annotated[tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...], Field(min_length=1, max_length=20)] = said(
        "GPUs", "up to which sizes are told apart; the last is open"
    )
    first_s: tuple[Waits, ...] = said("s", "wait for the first run: one row a size")
    again_s: tuple[Waits, ...] = said("s", "wait after a reclaim beyond back-off and turn: one row a size")

    @model_validator(mode="after")
    def _quantiles(self) -> Self:
        self._row_a_size("first_s", "again_s")
        for name in ("first_s", "again_s"):
            if len({len(row) for row in getattr(self, name)}) > 1 or any(
                list(row) != sorted(row) for row in getattr(self, name)
            ):
                raise ValueError(f"the rows of {name} are quantiles: rising, and as many in each")
        return self

    def _row_a_size(self, *names: str) -> None:
        for name in names:
            if len(getattr(self, name)) != len(self.sizes):
                raise ValueError(f"{name} has {len(getattr(self, name))} rows and sizes has {len(self.sizes)}: one row a size")

    def risk(self) -> Risk:
        """As the core takes it; of waits alone: nothing is ever taken back."""
        return self._with(np.zeros(1, np.int64), np.zeros((2, len(self.sizes), 1)))

    def _with(self, edges_us: npt.NDArray[np.int64], hazards_h: npt.NDArray[np.float64]) -> Risk:
        first, again = (np.array(rows, np.float64) * SECOND_US for rows in (self.first_s, self.again_s))
        return Risk(self.sizes, edges_us, hazards_h, first, again)


class RiskPart(WaitsPart):
    """`[risk]`: reclaims of spot leases an hour by size and age, and how long they wait."""

    ages_h: Annotated[tuple[Hour, ...], Field(min_length=1, max_length=50)] = said(
        "h", "from which hazards hold; the first is 0"
    )
    hazards: tuple[Annotated[tuple[_RATES, ...], Field(min_length=1)], ...] = said("1/h", "one row a size, one number an age")
    later: tuple[Annotated[tuple[_RATES, ...], Field(min_length=1)], ...] | None = said(
        "1/h", "the same after a reclaim whose notice was heeded; without it: as the first", default=None
    )

    @model_validator(mode="after")
    def _square(self) -> Self:
        for name in ("hazards",) if self.later is None else ("hazards", "later"):
            self._row_a_size(name)
            if any(len(row) != len(self.ages_h) for row in getattr(self, name)):
                raise ValueError(f"each row of {name} needs {len(self.ages_h)} numbers, one for each of ages_h")
        if self.ages_h[0] != 0 or list(self.ages_h) != sorted(set(self.ages_h)):
            raise ValueError("ages_h rise from 0")
        return self

    def risk(self) -> Risk:
        """As the core takes it."""
        edges = np.array([round(age * HOUR_US) for age in self.ages_h], np.int64)
        later = self.hazards if self.later is None else self.later
        return self._with(edges, np.array([self.hazards, later], np.float64))


class SurplusFile(Part):
    """All of it."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = said("", "three letters; all prices are in it", default="USD")
    as_of: Text = said("", "when prices and risks were looked up")
    home: HomePart
    spot: SpotPart
    guarded: Annotated[tuple[GuardedPart, ...], Field(min_length=1, max_length=20)]
    block: BlockPart
    batch_api: BatchPart
    work: WorkPart = WorkPart()
    risk: RiskPart
    guarded_waits: WaitsPart | None = said("", "waits of guarded leases; without it: as of spot leases", default=None)
    sources: Mapping[Text, Text] = said("", "where a number comes from, by its key", default_factory=dict)

    def surplus(self) -> Surplus:
        """As the core takes it."""
        work = self.work
        ends = {"turn_us": work.turn, "backoff_us": work.backoff, "backoff_max_us": work.backoff_max, "save_us": work.save}
        saving = Habit(heeds=True, checkpoint_us=work.checkpoint, restart_us=work.restart, free_us=work.save, **ends)
        losing = Habit(heeds=False, checkpoint_us=None, restart_us=0, free_us=work.notice, **ends)
        spot = self.risk.risk()
        guarded_waits = spot if self.guarded_waits is None else self.guarded_waits.risk()
        return Surplus(
            home_micro=self.home.gpu_h,
            spot_micro=self.spot.gpu_h,
            guarded_micro={part.hours: part.gpu_h for part in self.guarded},
            guarded_risk={
                part.hours: of_term(min(part.reclaimed, 0.999), part.hours, waits=guarded_waits) for part in self.guarded
            },
            block_micro=self.block.gpu_h,
            batch_micro=self.batch_api.gpu_h,
            risk=spot,
            saving=saving,
            losing=losing,
            node_gpus=self.block.node_gpus,
            block_lead_h=self.block.lead_h,
            block_longest_h=self.block.longest_h,
            batch_within_h=self.batch_api.within_h,
        )


def shipped_text() -> str:
    """The file that is used where none is given."""
    return (files("sublet.advice.audit") / SHIPPED).read_text(encoding="utf-8")


def read_surplus(path: Path | None, *, home: int | None = None, replaced: Mapping[str, Any] | None = None) -> SurplusFile:
    """The surplus in a file, or in `replaced`, whose tables replace those of the shipped one; `home` replaces `home.gpu_h`.

    A number that is replaced loses the source of the shipped one. Guarded leases wait as in the market that `[risk]` is of.
    """
    values = tomllib.loads(shipped_text())
    what = SHIPPED if path is None else str(path)
    given = dict(replaced or {}) if path is None else _toml(path)
    if home is not None:
        given["home"] = {"gpu_h": home / MICRO}
    if "risk" in given:
        values.pop("guarded_waits")  # they are of the shipped risk's market
    sources = {key: source for key, source in values["sources"].items() if key.split(".")[0] not in given}
    told = given.get("sources", {})
    return checked(values | given | {"sources": sources | told if isinstance(told, dict) else told}, what)


def checked(values: Mapping[str, Any], what: str) -> SurplusFile:
    """Fields that were read."""
    try:
        return SurplusFile.model_validate(values)
    except ValidationError as error:
        raise InvalidFields(what, explain(error.errors(), SurplusFile)) from error


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", field="surplus", hint="check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} is no TOML: {error}", field="surplus", hint=HINT) from error
