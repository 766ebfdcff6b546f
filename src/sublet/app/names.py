"""New names for things: a word for the kind and 60 random bits, so that nobody can count or guess them."""

import secrets

from sublet.core.ids import JobId, LeaseId, OrderId

_ALPHABET = "abcdefghjkmnpqrstuvwxyz023456789"  # without i, l, o and 1: read aloud and typed without mistakes


def fresh(kind: str) -> str:
    """`kind-` and twelve random characters."""
    return f"{kind}-{''.join(secrets.choice(_ALPHABET) for _ in range(12))}"


def lease_id() -> LeaseId:
    """A name for a new lease."""
    return LeaseId(fresh("lease"))


def job_id() -> JobId:
    """A name for a new job of the owner."""
    return JobId(fresh("job"))


def order_id() -> OrderId:
    """A name for a new order."""
    return OrderId(fresh("order"))
