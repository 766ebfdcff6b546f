"""Weights from a hub: a real HTTP server that answers as Hugging Face's does, and what may go wrong on the way."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sublet.core.errors import Invalid, SubletError, Unavailable
from sublet.weights import hub

WEIGHTS = bytes(range(256)) * 5_000


class Hugging(BaseHTTPRequestHandler):
    """`org/open` for all, `org/gated` with a token, `org/broken` whose file is not what its SHA-256 says."""

    protocol_version = "HTTP/1.1"
    cut_after: int | None = None  # the connection is lost there, once
    asked: list[str] = []  # noqa: RUF012 (what the test looks at)

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        Hugging.asked.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        if "gated" in self.path and self.headers.get("Authorization") != "Bearer mine":
            self._send(401, b"")
        elif self.path.startswith("/api/models/org/") and "nothing" not in self.path:
            names = ["config.json", "model.safetensors", "model.bin", ".gitattributes"]
            self._send(200, json.dumps({"siblings": [{"rfilename": name} for name in names]}).encode())
        elif "/resolve/main/" in self.path and "nothing" not in self.path:
            self._file()
        else:
            self._send(404, b"")

    def _file(self) -> None:
        told = hashlib.sha256(WEIGHTS if "broken" not in self.path else b"other").hexdigest()
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self._send(206 if start else 200, WEIGHTS[start:], {"X-Linked-ETag": f'"{told}"'})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if Hugging.cut_after is not None and len(body) > Hugging.cut_after:
            self.wfile.write(body[: Hugging.cut_after])
            Hugging.cut_after = None
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    served = ThreadingHTTPServer(("127.0.0.1", 0), Hugging)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    Hugging.asked, Hugging.cut_after = [], None
    yield f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()
    served.server_close()


def fetch(endpoint: str, source: str, folder: Path, *, token: str = "") -> tuple[Path, list[tuple[int, int]]]:
    told: list[tuple[int, int]] = []
    connection = hub.Hub({"HF_ENDPOINT": endpoint, "HF_TOKEN": token})
    try:
        return connection.fetch(hub.Source.of(source), folder, lambda there, total: told.append((there, total))), told
    finally:
        connection.close()


def test_a_file_comes_with_its_progress_and_only_once(endpoint: str, tmp_path: Path) -> None:
    path, told = fetch(endpoint, "hub:org/open:sub/m.gguf", tmp_path)
    assert path == tmp_path / "sub" / "m.gguf" and path.read_bytes() == WEIGHTS
    assert told[-1] == (len(WEIGHTS), len(WEIGHTS))
    before = len(Hugging.asked)
    fetch(endpoint, "hub:org/open:sub/m.gguf", tmp_path)
    assert [one.split()[0] for one in Hugging.asked[before:]] == ["HEAD"]


def test_a_repository_brings_what_a_server_loads_and_nothing_else(endpoint: str, tmp_path: Path) -> None:
    path, told = fetch(endpoint, "hub:org/open", tmp_path / "m")
    assert path == tmp_path / "m" and sorted(one.name for one in path.iterdir()) == ["config.json", "model.safetensors"]
    assert told[-1] == (2 * len(WEIGHTS), 2 * len(WEIGHTS))
    assert hub.sha256(path) == hub.sha256(path) != hub.sha256(path / "config.json")


def test_what_was_cut_off_goes_on_where_it_ended(endpoint: str, tmp_path: Path) -> None:
    Hugging.cut_after = 100_000
    with pytest.raises(Unavailable, match="does not answer"):
        fetch(endpoint, "hub:org/open:m.gguf", tmp_path)
    there = (tmp_path / "m.gguf.part").stat().st_size
    assert 0 < there <= 100_000 and not (tmp_path / "m.gguf").exists()
    path, _ = fetch(endpoint, "hub:org/open:m.gguf", tmp_path)
    assert path.read_bytes() == WEIGHTS and Hugging.asked[-1].endswith(f"bytes={there}-")


@pytest.mark.parametrize(
    ("source", "token", "said", "way_out"),
    [
        ("hub:org/gated:m.gguf", "", "does not give out", "set HF_TOKEN"),
        ("hub:org/gated:m.gguf", "wrong", "does not give out", "accept the model's terms"),
        ("hub:org/nothing:m.gguf", "", "there is no org/nothing:m.gguf", "check the name"),
        ("hub:org/broken:m.gguf", "", "arrived damaged", "fetch it again"),
        ("hub:../etc:passwd", "", "names nothing on a hub", "write hub:ORG/NAME"),
        ("hub:org/open:../../etc/passwd", "", "names nothing on a hub", "write hub:ORG/NAME"),
    ],
)
def test_what_goes_wrong_has_a_way_out(
    endpoint: str, tmp_path: Path, *, source: str, token: str, said: str, way_out: str
) -> None:
    with pytest.raises(SubletError, match=said) as caught:
        fetch(endpoint, source, tmp_path, token=token)
    assert way_out in (caught.value.hint or "") and not list(tmp_path.glob("**/*.gguf"))


def test_the_users_token_opens_what_is_gated(endpoint: str, tmp_path: Path) -> None:
    assert fetch(endpoint, "hub:org/gated:m.gguf", tmp_path, token="mine")[0].read_bytes() == WEIGHTS
    with pytest.raises(Unavailable, match="does not answer"):
        fetch("http://127.0.0.1:9", "hub:org/open:m.gguf", tmp_path)
    assert issubclass(Invalid, SubletError)
