"""What a tenant may ask of models: how much a minute, and what may answer instead."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sublet.core.ids import TenantId
from sublet.core.residency import Label, Sensitivity


@dataclass(frozen=True, slots=True)
class TokenTerms:
    """One tenant's terms. None: what the installation grants to all."""

    tenant: TenantId
    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    residency: tuple[str, ...] = ()  # where its words and files may be, as in `core.residency.Label`; empty: anywhere
    sensitivity: Sensitivity = Sensitivity.PUBLIC

    @property
    def label(self) -> Label:
        """What the tenant states of its words and files."""
        return _label(self.residency, self.sensitivity)

    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For a model, the others that may answer in its place, in this order, when none of its replicas can: `MODEL`, or
    `MODEL@SITE` for its replicas at one site."""


@lru_cache(maxsize=4_096)
def _label(residency: tuple[str, ...], sensitivity: Sensitivity) -> Label:
    """The same value each time: it is asked for with every request."""
    return Label(residency, sensitivity)
