"""Where the weights of a model are: looked at before anything is promised, and fetched before a lease is asked for."""

import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

import sublet.weights
from sublet.core.errors import Invalid, SubletError, Unavailable
from sublet.core.ids import ModelName
from sublet.core.model import Model
from sublet.core.server_program import ServerProgram
from sublet.store import models
from sublet.store.database import Database
from sublet.weights import gguf, hub
from sublet.weights.hub import PREFIX

BUILTIN = "builtin"
TINY = Path(sublet.weights.__file__).with_name("tiny.gguf")
_TELL_S, _RETRY_S = 1.0, 300.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at a source found."""

    path: str  # empty: it has to be fetched or checked first
    context_length: int = 0
    detail: str = ""


def look(source: str, server: ServerProgram, *, checksum: str) -> Looked:
    """What can be said of a source at once; raises `Invalid` that says what is wrong with it."""
    if not server.runs:
        if not source.startswith(("http://", "https://")):
            hint = "write the base URL of its clients, for example https://api.example.org/v1"
            raise Invalid(f"{source!r} is no address", field="source", hint=hint)
        return Looked("")
    if source.startswith(PREFIX):
        named = hub.Source.of(source)
        if server.formats == ("gguf",) and not named.file.endswith(".gguf"):
            hint = f"name one: {PREFIX}{named.repository}:FILE.gguf"
            raise Invalid(f"{server.name} loads one GGUF file", field="source", hint=hint)
        return Looked("", detail="waits to be fetched")
    path = TINY if source == BUILTIN else Path(source)
    if not path.is_absolute():
        hint = "write the whole path as this machine's nodes see it, `builtin`, or hub:ORG/NAME"
        raise Invalid(f"{source!r} is no whole path", field="source", hint=hint)
    length = _context_of(path, server)
    if checksum:
        return Looked("", length, "waits to be checked")
    return Looked(str(path), length, "" if path == TINY else _closed(path))


def _closed(path: Path) -> str:
    """What keeps other users from reading weights, and what to do; where we may, a replica gets a user of its own."""
    if os.geteuid() != 0:
        return ""
    inside = [one for one in path.rglob("*") if one.exists()] if path.is_dir() else []
    needs = [(one, 0o001) for one in reversed(path.resolve().parents)]
    needs += [(one, 0o005 if one.is_dir() else 0o004) for one in (path, *inside)]
    closed = next((one for one, bits in needs if one.stat().st_mode & bits != bits), None)
    return f"{closed} is closed to the users that replicas have: chmod a+rX {closed}" if closed else ""


def _context_of(path: Path, server: ServerProgram) -> int:
    """The context length that weights were made for; 0: not known. Raises `Invalid` if this server cannot load them."""
    if not path.exists():
        raise Invalid(
            f"there is nothing at {path}", field="source", hint="check the path; it is looked up on the control plane"
        )
    if "gguf" in server.formats and path.is_file():
        head = gguf.read(path)
        return int(head.of_architecture("context_length", 0))
    if "safetensors" in server.formats and path.is_dir():
        if not (path / "config.json").exists() or not list(path.glob("*.safetensors")):
            hint = "it needs config.json and *.safetensors beside each other"
            raise Invalid(f"{path} is no folder of a model", field="source", hint=hint)
        return 0
    wants = {"gguf": "a GGUF file", "safetensors": "a folder with config.json and *.safetensors"}
    said = " or ".join(wants[one] for one in server.formats)
    raise Invalid(f"{server.name} loads {said}; {path} is neither", field="source", hint="choose another --server or --source")


def check(model: Model, server: ServerProgram) -> None:
    """Raise what keeps a model from being served now: weights that are not there yet, or not any more."""
    if not server.runs:
        return
    if not model.path:
        hint = f"`sublet model show {model.name}` shows how far it is"
        raise Unavailable(f"the weights of {model.name} are not there yet: {model.detail or 'waits'}", hint=hint)
    _context_of(Path(model.path), server)


class Fetcher:
    """Fetches and checks one model's weights at a time, beside everything else."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._folder = database, folder
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="weights")
        self._busy: set[ModelName] = set()
        self._not_before: dict[ModelName, float] = {}
        self._over = False

    def close(self) -> None:
        """Begin nothing more; what is half fetched goes on after the next start."""
        self._over = True
        self._worker.shutdown(wait=True, cancel_futures=True)

    def settle(self) -> None:
        """Wait until what was begun is done."""
        self._worker.submit(lambda: None).result()

    def begin(self, known: Iterable[Model]) -> None:
        """Take up every model whose weights are still missing."""
        for model in known:
            waits = not model.path and not model.source.startswith(("http://", "https://"))
            if waits and model.name not in self._busy and time.monotonic() >= self._not_before.get(model.name, 0.0):
                self._busy.add(model.name)
                self._worker.submit(self._one, model)

    def _one(self, model: Model) -> None:
        try:
            path = self._fetched(model)
            self._verify(model, path)
            head = gguf.read(path) if path.suffix == ".gguf" else None
            length = model.context_length or (int(head.of_architecture("context_length", 0)) if head else 0)
            self._note(model.name, path=str(path), context_length=length, detail="")
        except SubletError as error:
            self._failed(model, f"{error.message} ({error.hint})" if error.hint else error.message)
        except Exception as error:  # noqa: BLE001 (the top of a thread; it is logged with its chain)
            _log.exception("weights_failed", model=model.name)
            self._failed(model, repr(error))
        finally:
            self._busy.discard(model.name)

    def _fetched(self, model: Model) -> Path:
        if not model.source.startswith(PREFIX):
            return TINY if model.source == BUILTIN else Path(model.source)
        told = 0.0

        def tell(there: int, total: int) -> None:
            nonlocal told
            if self._over:
                raise Unavailable("the fetch was interrupted by a stop", hint="it goes on after the next start")
            if time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                share = f"{100 * there // total} % of {total / 1e9:.2f} GB" if total else f"{there / 1e9:.2f} GB"
                self._note(model.name, detail=f"fetched {share}")

        connection = hub.Hub()
        try:
            return connection.fetch(hub.Source.of(model.source), self._folder / model.name.replace(":", "_"), tell)
        finally:
            connection.close()

    def _verify(self, model: Model, path: Path) -> None:
        if not model.checksum:
            return
        self._note(model.name, detail="its SHA-256 is being checked")
        found = hub.sha256(path)
        if found != model.checksum:
            hint = "fetch it again, or add the model with the right --checksum"
            raise Invalid(f"the SHA-256 of {path} is {found}, not {model.checksum}", field="checksum", hint=hint)

    def _failed(self, model: Model, reason: str) -> None:
        self._not_before[model.name] = time.monotonic() + _RETRY_S
        _log.warning("weights_failed", model=model.name, reason=reason)
        self._note(model.name, detail=reason)

    def _note(self, name: ModelName, **changes: str | int) -> None:
        with self._database.write() as tx:
            model = next((one for one in models.everything(tx) if one.name == name), None)
            if model is not None:
                models.save(tx, replace(model, **changes))  # type: ignore[arg-type]  # the names and kinds are those above
