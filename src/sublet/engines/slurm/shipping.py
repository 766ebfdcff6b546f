"""Putting the agent where the nodes find it: the few standard-library modules it is made of, named by their content.

A newer Sublet ships beside the older one, so a run keeps the agent that it was started with.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import sublet

_KEEPER = "deadlines keeper launch limits output processes records rundir trees volumes"
MODULES = (
    *("__init__.py", "checkpoint.py", "engines/__init__.py", "engines/local/__init__.py"),
    *(f"engines/local/{name}.py" for name in _KEEPER.split()),
    *("engines/slurm/__init__.py", "engines/slurm/agent.py"),
)


def ship(shared: Path) -> Path:
    """The agent's file below `shared`, copied there unless it is there already."""
    source = Path(sublet.__file__).parent
    content = {name: (source / name).read_bytes() for name in MODULES}
    digest = hashlib.sha256(b"".join(name.encode() + data for name, data in content.items())).hexdigest()[:12]
    home = shared / f"agent-{digest}"
    if not home.exists():
        fresh = Path(tempfile.mkdtemp(prefix=".agent-", dir=shared))
        for name, data in content.items():
            file = fresh / "sublet" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        fresh.chmod(0o755)
        try:
            fresh.rename(home)
        except OSError:  # another control plane was faster
            shutil.rmtree(fresh)
            if not home.exists():
                raise
    return home / "sublet" / "engines" / "slurm" / "agent.py"


def writable(shared: Path) -> None:
    """Make the directories below `shared`; raises OSError where that is not possible."""
    for name in ("runs", "volumes"):
        path = shared / name
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(13, "not writable", str(path))
