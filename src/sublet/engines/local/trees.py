"""Removing directory trees whatever their modes. Standard library only: it runs on the nodes of a cluster, too."""

import os
import shutil
import stat
from pathlib import Path


def remove_tree(path: Path) -> str:
    """Remove a file or directory whatever its modes; empty if it is gone, else what stands in the way."""
    for last_try in (False, True):
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            if last_try:
                return f"{path.name}: {error.strerror}"
            _open_up(path)
        else:
            break
    return ""


def _open_up(path: Path) -> None:
    """Undo modes that keep even their owner out of a directory."""
    for directory, names, _ in os.walk(path, topdown=True, onerror=lambda _: None):
        for name in [".", *names]:
            inner = Path(directory) / name
            if stat.S_ISDIR(inner.lstat().st_mode):
                inner.chmod(stat.S_IRWXU)
