"""Refusals in the words of the OpenAI API: a status and an error object, which every client of it can read."""

from collections.abc import Mapping
from typing import Any

import orjson

from sublet.app.keys import Unauthenticated
from sublet.core.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OverBudget,
    ResidencyDenied,
    SubletError,
    Unavailable,
)

RETRY_AFTER_S = 2


class Refusal(Exception):
    """An answer that is an error object. `code` is for programs, `message` for people, and says what to do."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.param, self.code = status, message, kind, param, code
        self.headers = dict(headers or {})

    def error(self) -> dict[str, Any]:
        """The error object."""
        return {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}

    def body(self) -> bytes:
        """The document that is answered."""
        return orjson.dumps({"error": self.error()})


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> Refusal:
    """400: the request cannot be accepted as it is."""
    return Refusal(400, message, param=param, code=code)


def unknown_model(name: str) -> Refusal:
    """404: there is no such model, or it is not for this caller."""
    message = f"there is no model {name!r}; GET /openai/v1/models lists those there are"
    return Refusal(404, message, param="model", code="model_not_found")


def too_large(limit: int) -> Refusal:
    """413: the body is larger than we read."""
    return Refusal(413, f"the body is larger than {limit} bytes, which is the most that is read", code="request_too_large")


def no_money(model: str) -> Refusal:
    """429 in OpenAI's words: the tenant's spend limit does not reach; asking again will not help."""
    message = (
        f"the spend limit does not reach for this request to {model}: lower max_tokens, or have the limit raised"
        " (`sublet tenant limit`)"
    )
    return Refusal(429, message, kind="insufficient_quota", code="insufficient_quota", headers={"x-should-retry": "false"})


def too_often(what: str, limit: int, after_s: float) -> Refusal:
    """429: the rate limit for `what` (requests or tokens a minute)."""
    message = f"the limit of {limit} {what} a minute is reached; try again in {after_s:.1f} s"
    wait = {"Retry-After": str(max(1, round(after_s + 0.5)))}
    return Refusal(429, message, kind=what, code="rate_limit_exceeded", headers=wait)


def busy(message: str, *, after_s: int = RETRY_AFTER_S) -> Refusal:
    """503: it cannot be done now."""
    wait = {"Retry-After": str(after_s)}
    return Refusal(503, message, kind="server_error", code="service_unavailable", headers=wait)


def elsewhere(model: str, rule: str) -> Refusal:
    """403: every replica stands where this tenant's words may not go. Nothing was sent."""
    message = f"no replica of {model} stands where your data may go ({rule}); nothing was sent"
    return Refusal(403, message, param="model", code="data_residency_mismatch")


def broken(message: str) -> Refusal:
    """502: the server program failed and no other could go on."""
    return Refusal(502, message, kind="server_error", code="upstream_failed")


_KINDS: tuple[tuple[type[SubletError], int, str, str | None], ...] = (  # the first that fits
    (Unauthenticated, 401, "invalid_request_error", "invalid_api_key"),
    (Forbidden, 403, "invalid_request_error", "forbidden"),
    (NotFound, 404, "invalid_request_error", "not_found"),
    (OverBudget, 429, "insufficient_quota", "insufficient_quota"),
    (Conflict, 409, "invalid_request_error", "conflict"),
    (ResidencyDenied, 403, "invalid_request_error", ResidencyDenied.code),
    (Invalid, 400, "invalid_request_error", None),
    (Unavailable, 503, "server_error", "service_unavailable"),
)


def of(error: SubletError) -> Refusal:
    """One of our own errors in these words."""
    status, kind, code = next((s, k, c) for cls, s, k, c in _KINDS if isinstance(error, cls))
    told = f"{error.message}: {error.hint}" if error.hint else error.message
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return Refusal(status, told, kind=kind, param=error.field, code=code, headers=headers)


def no_address(path: str) -> Refusal:
    """404: nothing is there."""
    return Refusal(404, f"there is nothing at {path}; the API is below /openai/v1", code="not_found")


def only(method: str, *allowed: str) -> None:
    """Raise `Refusal` 405 for a method that an address does not know."""
    if method not in allowed:
        told = ", ".join(allowed)
        raise Refusal(405, f"this address takes {told}, not {method}", code="method_not_allowed", headers={"Allow": told})
