"""An installation as one file: a backup, and the way from one store to another.

A zip with one part a table (`tables/<name>.jsonl`: a JSON array a row) and `manifest.json`, which says what is in it: the
schema's revision, and of each part the columns, the number of rows and the SHA-256. Rows are streamed, no table is ever wholly
in memory. Keys are in it as hashes only, but workloads with the secrets in their environments, and the secret behind the
metadata addresses, are in the clear: the file is its owner's alone (mode 0600).
"""

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import sublet
from sublet.core.errors import Conflict, Invalid
from sublet.core.ledger import Proof
from sublet.store import ledger, snapshot
from sublet.store.database import Database, Tx, revisions
from sublet.store.snapshot import Snapshot, TableRows

FORMAT = 1
_MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_TELL_EVERY = 2_000  # rows
_LEDGER_PAGE = 5_000
Progress = Callable[[str, float], None]
"""(what is being done, which share of it is done)."""


@dataclass(frozen=True, slots=True)
class Part:
    """One table in the file."""

    table: str
    columns: tuple[str, ...]
    rows: int
    sha256: str

    @property
    def file(self) -> str:
        """Its name in the zip."""
        return f"tables/{self.table}.jsonl"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    format: int
    version: str  # of the program that made it
    revision: str  # of the schema
    store: str  # sqlite | postgresql
    made_us: int
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, and what the books say to it."""

    manifest: Manifest
    findings: tuple[str, ...]  # what does not add up in the ledger; empty is the proof of order


def back_up(database: Database, file: Path, *, now_us: int, progress: Progress) -> Manifest:
    """Write everything as of one instant to a new file, while others go on writing to the database."""
    revision = database.revision()
    if revision is None:
        raise Conflict(
            "the database has no tables: there is nothing to back up", field="database", hint="is it the right one? --db URL"
        )
    if file.exists():
        raise Conflict(f"{file} exists", field=str(file), hint="choose another name, or remove it first")
    unfinished = file.with_name(f".{file.name}.part")
    try:
        with _private(unfinished) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
            with database.read() as tx:
                parts = tuple(_written(archive, Snapshot(tx), progress))
            store = database.url.get_backend_name()
            manifest = Manifest(FORMAT, sublet.__version__, revision, store, now_us, parts)
            archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=2))
        _sync(unfinished)
        unfinished.rename(file)
    except OSError as error:
        raise Invalid(f"{file} cannot be written: {error.strerror}", field=str(file), hint="choose another place") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return manifest


def restore(open_database: Callable[[], Database], file: Path, *, progress: Progress) -> Restored:
    """Bring a backup into an empty database; all of it or nothing.

    The schema is made as it was, filled, and brought up to date then, as any older installation is. `open_database` is called
    once the file has proven good. Raises `Invalid` for a file that is damaged or newer than this program, `Conflict` if the
    database is not empty.
    """
    with _opened(file) as archive:
        manifest = _read(archive, file)
        _verify(archive, manifest, file, progress)
        database = open_database()
        try:
            _make_ready(database, manifest.revision)
            with database.write() as tx:
                _refuse_rows(tx)
                _fill(tx, archive, manifest, progress)
                _recount(tx, manifest)
            database.migrate()
            with database.read() as tx:
                findings = _ledger_findings(tx, manifest, progress)
        finally:
            database.close()
    return Restored(manifest, tuple(findings))


def _written(archive: zipfile.ZipFile, taken: Snapshot, progress: Progress) -> Iterator[Part]:
    tables = taken.tables()
    total, done = sum(table.rows for table in tables) or 1, 0
    for table in tables:
        digest, rows = hashlib.sha256(), 0
        with archive.open(f"tables/{table.name}.jsonl", "w", force_zip64=True) as out:
            for row in taken.rows(table.name):
                line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
                digest.update(line)
                out.write(line)
                rows += 1
                if rows % _TELL_EVERY == 0:
                    progress("writing the tables", (done + rows) / total)
        assert rows == table.rows, f"{table.name} changed while it was read"
        done += rows
        yield Part(table.name, table.columns, rows, digest.hexdigest())


def _private(path: Path) -> IO[bytes]:
    """A new file that only its owner can read, over what an interrupted backup may have left."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except FileNotFoundError as error:
        raise Invalid(f"there is no file {file}", field=str(file), hint="name a file that `sublet backup` made") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise _damaged(file, str(error)) from error


def _read(archive: zipfile.ZipFile, file: Path) -> Manifest:
    try:
        found: dict[str, Any] = json.loads(archive.read(_MANIFEST))
        if found["format"] > FORMAT:
            raise _newer(file, found["version"])
        parts = tuple(Part(**part | {"columns": tuple(part["columns"])}) for part in found["parts"])
        manifest = Manifest(**found | {"parts": parts})
    except (KeyError, TypeError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        raise _damaged(file, "it has no manifest that can be read") from error
    if manifest.revision not in revisions():
        raise _newer(file, manifest.version)
    return manifest


def _verify(archive: zipfile.ZipFile, manifest: Manifest, file: Path, progress: Progress) -> None:
    """Read every part once, before anything is written."""
    for nth, part in enumerate(manifest.parts):
        progress("checking the file", nth / len(manifest.parts))
        digest = hashlib.sha256()
        try:
            with archive.open(part.file) as content:
                while chunk := content.read(_CHUNK):
                    digest.update(chunk)
        except (KeyError, EOFError, OSError, zlib.error, zipfile.BadZipFile) as error:
            raise _damaged(file, f"{part.file} cannot be read") from error
        if digest.hexdigest() != part.sha256:
            raise _damaged(file, f"{part.file} is not what was written")


def _make_ready(database: Database, revision: str) -> None:
    """Tables of that revision. Newer ones that are empty are made again."""
    there = database.revision()
    if there is not None and there != revision:
        with database.read() as tx:
            _refuse_rows(tx)
        database.unmake()
    database.migrate(revision)


def _refuse_rows(tx: Tx) -> None:
    full = snapshot.not_empty(tx)
    if full:
        some = ", ".join(f"{count:,} {name}" for name, count in list(full.items())[:4])
        raise Conflict(
            f"the database is not empty: it has {some}",
            field="database",
            hint="restore into an empty one: another --db URL, or a data_dir that nothing was started on",
        )


def _fill(tx: Tx, archive: zipfile.ZipFile, manifest: Manifest, progress: Progress) -> None:
    total, before = manifest.rows or 1, 0
    for part in manifest.parts:
        with archive.open(part.file) as content:
            for done in snapshot.insert_rows(tx, part.table, part.columns, map(json.loads, content)):
                progress("filling the tables", (before + done) / total)
        before += part.rows
    snapshot.settle(tx)


def _recount(tx: Tx, manifest: Manifest) -> None:
    found: dict[str, TableRows] = {table.name: table for table in Snapshot(tx).tables()}
    for part in manifest.parts:
        assert found[part.table].rows == part.rows, f"{part.table}: {found[part.table].rows} rows, not {part.rows}"


def _ledger_findings(tx: Tx, manifest: Manifest, progress: Progress) -> list[str]:
    """What is wrong with the books (as `app.audit.check_money` says it), a page of transfers at a time."""
    accounts, proof, broken = ledger.every_account(tx), Proof(), list[str]()
    total, done, last = next((part.rows for part in manifest.parts if part.table == "transfers"), 0) or 1, 0, 0
    while page := ledger.page(tx, after=last, limit=_LEDGER_PAGE):
        broken += proof.take(accounts, [transfer for _, transfer in page])
        last, done = page[-1][0], done + len(page)
        progress("checking the books", done / total)
    return [*broken, *proof.check(accounts)]


def _damaged(file: Path, what: str) -> Invalid:
    return Invalid(f"{file} is damaged or no backup: {what}", field=str(file), hint="take another copy; nothing was changed")


def _newer(file: Path, version: str) -> Invalid:
    return Invalid(
        f"{file} was made by a newer Sublet ({version}; this is {sublet.__version__})",
        field=str(file),
        hint="restore it with that version or a later one; nothing was changed",
    )
