"""The outermost ring of the server: every request is bounded, measured, and carries a name that the log repeats."""

import time
import uuid
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sublet.api import errors
from sublet.app.metrics import Metrics

_log = structlog.get_logger()


class Edge:
    """ASGI middleware. `body_max` bytes bound a request's body, also one that does not say how long it is."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, body_max: int) -> None:
        self._app, self._metrics, self._body_max = app, metrics, body_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex[:16]
        began = time.perf_counter()
        seen: dict[str, Any] = {"status": 500}

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                if _declared(scope) > self._body_max:
                    refused = self._too_large()
                    await errors.problem(413, "Too large", refused.detail)(scope, receive, sending)
                else:
                    await self._app(scope, self._bounded(receive), sending)
            finally:
                took = time.perf_counter() - began
                route = getattr(scope.get("route"), "path", "unknown")
                self._metrics.request_took(scope["method"], route, seen["status"], took)
                _log.debug("request", method=scope["method"], route=route, status=seen["status"], seconds=round(took, 4))

    def _bounded(self, receive: Receive) -> Receive:
        read = 0

        async def receiving() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._body_max:
                raise self._too_large()
            return message

        return receiving

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the body of a request may have {self._body_max} bytes at most")


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
