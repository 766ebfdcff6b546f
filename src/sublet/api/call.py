"""One request by a known caller: its transaction, and its one effect when it is repeated.

What only looks at values is `async`, so that it runs where the request is: each change of threads is a wait while others work.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Response, params
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from sublet.app import keys, residency
from sublet.app.forecasting import Forecaster
from sublet.app.keys import Caller, Scope, Unauthenticated
from sublet.app.plane import Plane
from sublet.app.residency import Denied
from sublet.core.errors import Invalid
from sublet.store import replies
from sublet.store.database import Tx

bearer = HTTPBearer(auto_error=False, description="An API key: `sk_...`")


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated request."""

    plane: Plane
    caller: Caller
    fingerprint: str  # SHA-256 of what was asked
    forecaster: Forecaster
    idempotency_key: str | None = None

    @property
    def now_us(self) -> int:
        """The present instant."""
        return self.plane.clock.now_us()

    def until(self, to_us: int | None) -> int:
        """The end of a period: now, where none is given."""
        return self.now_us if to_us is None else to_us

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A transaction that changes nothing."""
        with self.plane.database.read() as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """A transaction after which the loops look again."""
        try:
            with self.plane.database.write() as tx:
                yield tx
        except Denied as denied:  # what was decided is kept, although the request is undone
            residency.record_denial(self.plane.database, denied, now_us=self.now_us)
            raise
        self.plane.wake()

    def once(
        self, effect: Callable[[Tx], BaseModel], *, status: int = 200, kept: Callable[[BaseModel], BaseModel] | None = None
    ) -> Response:
        """Run `effect` and answer its result; the same request again gets the same answer and no second effect.

        The claim on the idempotency key, the effect and the answer are one transaction. `kept` blanks what must not be stored.
        """
        with self.write() as tx:
            if self.idempotency_key is None:
                return _answer(effect(tx), status)
            found = replies.claim(tx, self.caller.key, self.idempotency_key, self.fingerprint, now_us=self.now_us)
            if found is None:
                result = effect(tx)
                stored = kept(result) if kept else result
                replies.complete(
                    tx, self.caller.key, self.idempotency_key, status=status, body=stored.model_dump_json(by_alias=True)
                )
                return _answer(result, status)
        if found.request_sha256 != self.fingerprint:
            raise Invalid(
                "this idempotency key belongs to another request",
                field="Idempotency-Key",
                hint="use a new key for a new request; repeat a request with exactly the same body",
            )
        return Response(found.body, found.status, media_type="application/json", headers={"Idempotency-Replayed": "true"})


def _answer(result: BaseModel, status: int) -> Response:
    return JSONResponse(result.model_dump(mode="json", by_alias=True), status)


async def plane_of(request: Request) -> Plane:
    """The control plane behind the app."""
    plane: Plane = request.app.state.plane
    return plane


ThisPlane = Annotated[Plane, Depends(plane_of)]


async def _fingerprint(request: Request) -> str:
    body = await request.body()
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + body
    return hashlib.sha256(asked).hexdigest()


def caller_of(plane: ThisPlane, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)] = None) -> Caller:
    """Whoever sent the request; raises `Unauthenticated` without a good key."""
    if credentials is None:
        raise Unauthenticated("this address needs an API key", hint="send `Authorization: Bearer sk_...`")
    with plane.database.read() as tx:
        return keys.authenticate(tx, credentials.credentials)


Known = Annotated[Caller, Depends(caller_of)]


async def forecaster_of(request: Request) -> Forecaster:
    """The forecasts that offers and quotes are made from."""
    forecaster: Forecaster = request.app.state.forecaster
    return forecaster


Forecasts = Annotated[Forecaster, Depends(forecaster_of)]


async def _get(plane: ThisPlane, caller: Known, forecaster: Forecasts) -> Call:
    return Call(plane, caller, "", forecaster)


async def _post(
    plane: ThisPlane,
    caller: Known,
    forecaster: Forecasts,
    fingerprint: Annotated[str, Depends(_fingerprint)],
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[!-~]+$",
            description="your own name for this request: repeated with the same key and body, it has one effect and one answer",
        ),
    ] = None,
) -> Call:
    return Call(plane, caller, fingerprint, forecaster, idempotency_key)


Calling = Annotated[Call, Depends(_get)]
Posting = Annotated[Call, Depends(_post)]


def only(*scopes: Scope) -> params.Depends:
    """A route dependency: the caller's key has one of `scopes` (an owner's always fits)."""

    async def check(caller: Known) -> None:
        caller.require(*scopes)

    return params.Depends(check)
