"""What engines that keep their runs in directories have in common: batches, names, and what a failing disk means."""

import errno
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sublet.core.errors import Invalid, SubletError, Unavailable
from sublet.engines.local.trees import remove_tree

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_FULL = {errno.ENOSPC, errno.EDQUOT}

Item = TypeVar("Item")


def each(items: Sequence[Item], act: Callable[[Item], None], around: Callable[[], AbstractContextManager[None]]) -> None:
    """Act on all; one that fails does not stop the others. The first failure is raised when all had their turn."""
    failures: list[SubletError] = []
    for item in items:
        try:
            with around():
                act(item)
        except SubletError as failure:
            failures.append(failure)
    if failures:
        for other in failures[1:]:
            failures[0].add_note(other.message)
        raise failures[0]


def safe_name(name: str, field: str) -> str:
    """A name that is a plain file name."""
    if not _SAFE.fullmatch(name):
        raise Invalid(f"{name!r} cannot name a {field} here", field=field, hint="use letters, digits, '.', '_' and '-'")
    return name


@contextmanager
def on_disk(state: Path) -> Iterator[None]:
    """Say what a failing disk means to a person."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Unavailable(f"{state} is full; nothing was begun", hint=f"free space below {state} and try again") from error
        raise Unavailable(f"{state}: {error}", hint="check that the directory exists and can be written") from error


def name_of_place(directory: Path) -> str:
    """The name of the place where runs are kept, made once by whoever comes first; engines of other places have other names."""
    file = directory / "place"
    if not file.exists():
        name = secrets.token_hex(8)
        draft = directory / f"place-{name}"
        draft.write_text(name)
        with suppress(FileExistsError):  # another was first
            file.hardlink_to(draft)
        draft.unlink()
    return file.read_text()


def remove(path: Path) -> None:
    """Rename away first, so that nobody meets a half-removed directory."""
    if not path.exists():
        return
    old = path.with_name(f".old-{path.name}")
    remove_tree(old)
    path.rename(old)
    problem = remove_tree(old)
    if problem:
        raise Unavailable(f"{path} could not be removed: {problem}")
