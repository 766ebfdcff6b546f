"""Fetching weights from a hub that speaks Hugging Face's API, with the user's own access.

`HF_TOKEN` and `HF_ENDPOINT` of the control plane's environment are used, as by the hub's own tools. A fetch that was cut off
goes on where it ended; a file whose SHA-256 the hub tells is checked.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import httpx

from sublet.core.errors import Invalid, Unavailable

PREFIX = "hub:"
_TIMEOUT_S = 30.0
_WANTED = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja", ".gguf"})
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
Progress = Callable[[int, int], None]
"""(bytes that are there, bytes in all or 0)."""


@dataclass(frozen=True, slots=True)
class Source:
    """`hub:ORG/NAME`, a whole repository, or `hub:ORG/NAME:FILE`, one file of it."""

    repository: str
    file: str = ""

    @classmethod
    def of(cls, text: str) -> "Source":
        """From what a person wrote."""
        repository, _, file = text.removeprefix(PREFIX).partition(":")
        inside = not PurePosixPath(file).is_absolute() and ".." not in PurePosixPath(file).parts
        if not _NAME.fullmatch(repository) or not inside:
            hint = "write hub:ORG/NAME, or hub:ORG/NAME:FILE.gguf for one file of it"
            raise Invalid(f"{text!r} names nothing on a hub", field="source", hint=hint)
        return cls(repository, file)


class Hub:
    """One connection to the hub."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        token = environ.get("HF_TOKEN", "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._has_token = bool(token)
        self.endpoint = environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        self._http = httpx.Client(headers=headers, timeout=_TIMEOUT_S, follow_redirects=True)

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def fetch(self, source: Source, folder: Path, progress: Progress) -> Path:
        """Bring a source into a folder; returns the file, or the folder of a whole repository."""
        names = [source.file] if source.file else self._files(source.repository)
        known = [self._size(source.repository, name) for name in names]
        total, done = sum(known), 0
        for name, size in zip(names, known, strict=True):
            self._one(source.repository, name, folder / name, partial(_further, progress, done, total))
            done += size
        return folder / source.file if source.file else folder

    def _files(self, repository: str) -> list[str]:
        with self._answers(repository):
            answer = self._http.get(f"{self.endpoint}/api/models/{repository}/revision/main")
            self._check(answer, repository)
            names = [str(one["rfilename"]) for one in answer.json()["siblings"]]
        wanted = [name for name in names if PurePosixPath(name).suffix in _WANTED and ".." not in PurePosixPath(name).parts]
        if not any(name.endswith((".safetensors", ".gguf")) for name in wanted):
            raise Invalid(f"{repository} has no weights as safetensors or GGUF", field="source", hint="name another repository")
        return wanted

    def _address(self, repository: str, name: str) -> str:
        return f"{self.endpoint}/{repository}/resolve/main/{name}"

    def _size(self, repository: str, name: str) -> int:
        with self._answers(repository):
            answer = self._http.head(self._address(repository, name))
            self._check(answer, f"{repository}:{name}")
            return int(answer.headers.get("content-length", 0))

    def _one(self, repository: str, name: str, target: Path, progress: Callable[[int], None]) -> None:
        """One file, from where an earlier fetch ended."""
        if target.exists():
            progress(target.stat().st_size)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        there = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={there}-"} if there else {}
        with self._answers(repository), self._http.stream("GET", self._address(repository, name), headers=headers) as answer:
            self._check(answer, f"{repository}:{name}")
            there = there if answer.status_code == httpx.codes.PARTIAL_CONTENT else 0
            with part.open("ab" if there else "wb") as file:
                for chunk in answer.iter_raw():
                    file.write(chunk)
                    there += len(chunk)
                    progress(there)
            told = _told_sha256(answer)
        if told and sha256(part) != told:
            part.unlink()
            hint = "fetch it again; if that does not help, the hub's copy is damaged"
            raise Invalid(f"{repository}:{name} arrived damaged: its SHA-256 is not {told}", field="source", hint=hint)
        part.replace(target)

    @contextmanager
    def _answers(self, repository: str) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            hint = "check the network and HF_ENDPOINT, or copy the weights here and name their path"
            raise Unavailable(
                f"{self.endpoint} does not answer for {repository}: {error}", field="source", hint=hint
            ) from error

    def _check(self, answer: httpx.Response, what: str) -> None:
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            way = "its token may not read it: accept the model's terms on the hub" if self._has_token else "set HF_TOKEN"
            raise Invalid(f"the hub does not give out {what}", field="source", hint=f"{way}; then start `sublet up` again")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise Invalid(f"there is no {what} at {self.endpoint}", field="source", hint="check the name")
        if answer.is_error:
            raise Unavailable(
                f"the hub answered {answer.status_code} for {what}", field="source", hint="it is tried again later"
            )


def _further(progress: Progress, before: int, total: int, there: int) -> None:
    """Tell how far all files together are."""
    progress(before + there, total)


def _told_sha256(answer: httpx.Response) -> str:
    """The SHA-256 that the hub tells of a large file; empty if it does not."""
    for known in [*answer.history, answer]:
        for header in ("x-linked-etag", "etag"):
            tag = known.headers.get(header, "").removeprefix("W/").strip('"')
            if _SHA256.fullmatch(tag):
                return str(tag)
    return ""


def sha256(path: Path) -> str:
    """Of a file: its own. Of a folder: of the lines `sha256  name` of its files, by name."""
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file() and not one.name.endswith(".part"))
        text = "".join(f"{sha256(one)}  {one.relative_to(path).as_posix()}\n" for one in files)
        return hashlib.sha256(text.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
