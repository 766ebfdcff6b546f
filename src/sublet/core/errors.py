"""Errors the core raises. The class says the kind, the message says what happened and what to do."""


class SubletError(Exception):
    """Base of every error that a person may see. `field` names the input at fault, `hint` the way out."""

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint


class Invalid(SubletError):
    """The input cannot be accepted as it is."""


class NotFound(SubletError):
    """There is no such thing, or it is not yours to see."""


class Forbidden(SubletError):
    """The key may not do this."""


class ResidencyDenied(Invalid):
    """The data may not be there. `code` is what a model API calls it."""

    code = "data_residency_mismatch"


class Conflict(SubletError):
    """The request contradicts the present state."""


class IllegalStep(Conflict):
    """The lease's table has no such step."""


class Stale(Conflict):
    """It changed since it was read; read again and retry."""


class OverLimit(Conflict):
    """A spend, quota or safety limit stands in the way."""


class OverBudget(OverLimit):
    """The tenant's money does not reach; a higher limit or a lower price would do."""


class Unavailable(SubletError):
    """It cannot be done now; trying again later may help (a full disk, a database that is away)."""
