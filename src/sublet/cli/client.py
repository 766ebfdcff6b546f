"""The CLI's way to the API: where it is, with which key, and what its errors mean for a person."""

import json
import os
import tomllib
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from sublet.app import settings as settings_file
from sublet.app.keys import OWNER_KEY_FILE
from sublet.core.errors import SubletError

TIMEOUT_S = 60.0
_TRIES = 3
_PAGE = 200


class ApiError(Exception):
    """The API refused; `problem` is its problem document."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail")))
        self.problem = dict(problem)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.problem.get("status", 500))


class Unreachable(SubletError):
    """No control plane answers."""


class Client:
    """One connection to the API. Every POST carries an idempotency key, so that repeating it after a lost answer is safe."""

    def __init__(self, url: str, key: str | None) -> None:
        """`key` None: only the open addresses answer."""
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """Read."""
        return self._json("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any] | None = None, **params: Any) -> Any:
        """Make something, once."""
        return self._json("POST", path, body=body, params=params, once=str(uuid.uuid4()))

    def put(self, path: str, body: Mapping[str, Any], **params: Any) -> Any:
        """Set something."""
        return self._json("PUT", path, body=body, params=params)

    def delete(self, path: str) -> Any:
        """End something."""
        return self._json("DELETE", path)

    def everything(self, path: str, *, at_most: int = 10_000, **params: Any) -> list[Any]:
        """All items of a list, page by page."""
        items: list[Any] = []
        after: str | None = None
        while len(items) < at_most:
            page = self.get(path, limit=min(_PAGE, at_most - len(items)), after=after, **params)
            items += page["items"]
            after = page.get("next")
            if after is None:
                break
        return items

    def raw(self, path: str, **params: Any) -> httpx.Response:
        """A text or a file, with its headers."""
        return self._answer("GET", path, params=params)

    def events(self, after: int | None) -> Iterator[Any]:
        """Follow the journal; goes on by itself when the connection is lost."""
        last = after
        while True:
            params = {} if last is None else {"after": last}
            try:
                with self._http.stream(
                    "GET", "/v1/events/stream", params=params, headers={"Accept": "text/event-stream"}
                ) as answer:
                    if answer.is_error:
                        answer.read()
                        raise ApiError(_problem(answer))
                    for line in answer.iter_lines():
                        if line.startswith("data: "):
                            event = json.loads(line.removeprefix("data: "))
                            last = event["seq"]
                            yield event
            except httpx.ConnectError as error:
                raise _unreachable(self.url) from error
            except httpx.TransportError:
                continue

    def _json(self, method: str, path: str, **more: Any) -> Any:
        return self._answer(method, path, **more).json()

    def _answer(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        once: str | None = None,
    ) -> httpx.Response:
        headers = {"Idempotency-Key": once} if once else {}
        content = None
        if body is not None:
            content = json.dumps(body, default=str).encode()
            headers["Content-Type"] = "application/json"
        given = {name: value for name, value in (params or {}).items() if value is not None}
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._http.request(method, path, params=given, content=content, headers=headers)
            except httpx.TransportError as error:
                if attempt == _TRIES or isinstance(error, httpx.ConnectError):
                    raise _unreachable(self.url) from error
                continue
            if answer.is_error:
                raise ApiError(_problem(answer))
            return answer
        raise AssertionError("unreachable")


def connect() -> Client:
    """A client by environment, then `~/.config/sublet/config.toml`, then the settings and owner key found here."""
    own = _own_file()
    settings = settings_file.load()
    url = os.environ.get("SUBLET_URL") or own.get("url") or settings.base_url
    key = os.environ.get("SUBLET_API_KEY") or own.get("api_key") or _owner_key(settings.data_dir)
    return Client(str(url), key)


def _own_file() -> dict[str, Any]:
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    try:
        return tomllib.loads((base / "sublet" / "config.toml").read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return {}


def _owner_key(data_dir: Path) -> str | None:
    try:
        return (data_dir / OWNER_KEY_FILE).read_text().strip() or None
    except OSError:
        return None


def _problem(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if isinstance(found, dict) and "status" in found:
        return found
    return {"status": answer.status_code, "title": "Unexpected answer", "detail": answer.text[:500] or answer.reason_phrase}


def _unreachable(url: str) -> Unreachable:
    return Unreachable(
        f"no control plane answers at {url}",
        hint="start it with `sublet up`, or say where it is: export SUBLET_URL=http://HOST:PORT",
    )
