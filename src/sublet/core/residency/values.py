"""What a residency verdict is taken about: what a workload states, the place, who asks, and the verdict itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum


class Sensitivity(StrEnum):
    """How much harm it does if others see the data; from least to most."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"

    def reaches(self, other: "Sensitivity") -> bool:
        """Whether it is at least as sensitive as the other."""
        order = list(Sensitivity)
        return order.index(self) >= order.index(other)


class Purpose(StrEnum):
    """What it is that would be at the place."""

    PLACEMENT = "placement"  # the workload itself runs there
    CHECKPOINT = "checkpoint"  # what it saves is kept there
    LOG = "log"  # what it prints is kept there
    REPLICA = "replica"  # a served model answers there
    BATCH_FILE = "batch-file"
    FINE_TUNE = "fine-tune"  # the data that a model is tuned on
    BURST = "burst"  # overflow that runs at a provider


@dataclass(frozen=True, slots=True)
class Label:
    """What a workload states about its data. Nothing stated: it is public, and may be anywhere.

    `residency` names where it may be: countries and blocs by their codes (`DE`, `EU`), or sites by their names, `site:NAME`
    where a name reads as a country. The other fields hold keys of `lists`: data kinds, regimes and safeguards.
    """

    residency: tuple[str, ...] = ()
    sensitivity: Sensitivity = Sensitivity.PUBLIC
    data: tuple[str, ...] = ()
    regimes: tuple[str, ...] = ()
    safeguards: tuple[str, ...] = ()  # clauses that the tenant has agreed with the operator of the place

    @property
    def silent(self) -> bool:
        """Whether nothing is stated that a rule could bind; safeguards alone state nothing."""
        return not (self.residency or self.data or self.regimes) and self.sensitivity is Sensitivity.PUBLIC


@dataclass(frozen=True, slots=True)
class Place:
    """Where the data would be, with the facts that its owner has stated. None: not stated, and so unknown."""

    name: str  # of the site, or of a provider's region
    country: str | None = None  # ISO 3166-1 alpha-2
    operator: str | None = None
    operator_country: str | None = None  # where the operator, or the parent that controls it, has its seat
    regimes: tuple[str, ...] = ()  # laws and contracts that it states to be under
    certifications: tuple[str, ...] = ()
    safeguards: tuple[str, ...] = ()  # clauses that the operator signs
    accelerator: str | None = None  # the GPU model that would run it; None where nothing runs, or it is not known

    @property
    def stated(self) -> bool:
        """Whether its owner has stated any fact."""
        return replace(self, name="", accelerator=None) != Place("")


@dataclass(frozen=True, slots=True)
class Party:
    """Who asks. `country`: where it, or the parent that controls it, has its seat; None: unknown."""

    name: str
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a rule or a list comes from, and the day on which it stood so (ISO 8601)."""

    title: str
    url: str
    as_of: str

    def __str__(self) -> str:
        return f"{self.title}, as of {self.as_of}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule finds: allow or deny, why, and for a denial the way out."""

    allows: bool
    reason: str
    hint: str | None = None


def allow(reason: str) -> Finding:
    """The rule has nothing against it."""
    return Finding(allows=True, reason=reason)


def deny(reason: str, hint: str | None = None) -> Finding:
    """The data may not be there."""
    return Finding(allows=False, reason=reason, hint=hint)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says of a label at a place."""

    rule: str
    allows: bool
    reason: str
    source: Source
    hint: str | None = None

    @property
    def word(self) -> str:
        """Allow or deny."""
        return "allow" if self.allows else "deny"


Judge = Callable[[Label, Place, Party], Finding | None]
"""None: the rule has nothing to say here. What a rule needs to know and does not, it denies."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A residency rule: one sentence, its source, and the function that judges."""

    says: str
    source: Source
    judge: Judge
