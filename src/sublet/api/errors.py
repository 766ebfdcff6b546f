"""Errors as problem details (RFC 9457): each kind of error has its status here, once."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from sublet.api.bodies import body_model
from sublet.app import complaints
from sublet.app.complaints import Complaint, InvalidFields
from sublet.app.keys import Unauthenticated
from sublet.core.errors import Conflict, Forbidden, Invalid, NotFound, OverBudget, ResidencyDenied, SubletError, Unavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
STATUS: tuple[tuple[type[SubletError], int, str], ...] = (  # the first that fits
    (Unauthenticated, 401, "Who are you?"),
    (Forbidden, 403, "Not with this key"),
    (NotFound, 404, "There is no such thing"),
    (OverBudget, 402, "The budget does not reach"),
    (Conflict, 409, "Not in the present state"),
    (ResidencyDenied, 422, "The data may not be there"),
    (Invalid, 422, "The input cannot be accepted"),
    (Unavailable, 503, "Not now"),
)
_HTTP_TITLES = {
    400: "The request cannot be read",
    404: "There is no such address",
    405: "Not with this method",
    413: "Too large",
}
_log = structlog.get_logger()


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str
    hint: str | None = None


class Problem(BaseModel):
    """What went wrong, for people and programs."""

    type: str = Field(description="the kind, stable: urn:sublet:problem:not-found")
    title: str
    status: int
    detail: str
    field: str | None = Field(default=None, description="the input at fault")
    hint: str | None = Field(default=None, description="the way out")
    errors: list[FieldProblem] = Field(default_factory=list, description="every field at fault, when there are several")


_WORDS = {
    400: "unreadable",
    401: "unauthenticated",
    402: "over-budget",
    403: "forbidden",
    404: "not-found",
    405: "method",
    409: "conflict",
    413: "too-large",
    422: "invalid",
    500: "internal",
    503: "unavailable",
}


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    field: str | None = None,
    hint: str | None = None,
    errors: Sequence[Complaint] = (),
    kind: str | None = None,
) -> JSONResponse:
    """A problem document as a response; `kind` where the status does not say it."""
    body = Problem(
        type=f"urn:sublet:problem:{kind or _WORDS.get(status, 'http')}",
        title=title,
        status=status,
        detail=detail,
        field=field,
        hint=hint,
        errors=[FieldProblem(field=error.field, message=error.message, hint=error.hint) for error in errors],
    )
    headers = {}
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body.model_dump(), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def of(error: SubletError) -> JSONResponse:
    """The problem document of one of our errors."""
    status, title = next((status, title) for kind, status, title in STATUS if isinstance(error, kind))
    several = error.complaints if isinstance(error, InvalidFields) else ()
    kind = error.code if isinstance(error, ResidencyDenied) else None
    return problem(status, title, error.message, field=error.field, hint=error.hint, errors=several, kind=kind)


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": said}
    for status, said in {
        400: "The body cannot be read",
        401: "No good API key",
        403: "The key may not do this",
        404: "It does not exist, or is not yours to see",
        409: "The present state does not allow it",
        413: "The body is too large",
        422: "The input cannot be accepted",
        503: "It cannot be done now; `Retry-After` says when to try again",
    }.items()
}
"""What any address under /v1 may answer."""
OVER_BUDGET: dict[int | str, dict[str, Any]] = {402: {"model": Problem, "description": "The spend limit does not reach"}}


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem document."""
    app.add_exception_handler(SubletError, _ours)
    app.add_exception_handler(RequestValidationError, _unacceptable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _ours(_request: Request, error: Exception) -> Response:
    assert isinstance(error, SubletError)
    if isinstance(error, Unavailable):
        _log.warning("unavailable", detail=error.message, hint=error.hint)
    return of(error)


def _unacceptable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if any(found["type"] == "json_invalid" for found in error.errors()):
        where = error.errors()[0]["ctx"]["error"]
        return problem(422, "The input cannot be accepted", f"the body is not JSON: {where}", hint="send a JSON object")
    found = [found | {"loc": found["loc"][1:] if len(found["loc"]) > 1 else found["loc"]} for found in error.errors()]
    told = complaints.explain(found, body_model(request))
    return of(InvalidFields("the request", told))


def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = _HTTP_TITLES.get(error.status_code, "The request cannot be answered")
    hint = "the addresses are listed at /docs" if error.status_code in {404, 405} else None
    answer = problem(error.status_code, title, str(error.detail), hint=hint)
    answer.headers.update(error.headers or {})
    return answer


def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    return problem(
        500, "Our mistake", "an unexpected error; it is in the log", hint="repeat the request; if it stays, report it"
    )
