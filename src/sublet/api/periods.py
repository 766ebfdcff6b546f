"""Periods in requests: from one instant to another, the end not included."""

from typing import Annotated

from fastapi import Query

_MOST = 4_102_444_800_000_000  # the year 2100
FromUs = Annotated[int, Query(ge=0, le=_MOST, description="µs since the epoch")]
Begin = Annotated[int | None, Query(ge=0, le=_MOST, description="µs since the epoch; since the tenant joined, if left away")]
ToUs = Annotated[int | None, Query(ge=0, le=_MOST, description="µs since the epoch, not included; now, if left away")]
"""Instants far away are refused: no calendar can show them."""
