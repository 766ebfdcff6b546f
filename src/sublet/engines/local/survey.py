"""What this machine offers the local engine: devices, a sandbox, users, limits; looked for once, and said honestly."""

import hashlib
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sublet.core.ids import NodeId
from sublet.engines.local import limits, sandbox
from sublet.engines.local.devices import Devices, find_devices
from sublet.engines.local.identity import reachable_by_others, uid_range
from sublet.engines.local.preparation import Site


def survey(
    state: Path,
    *,
    slots: int | None,
    devices: Devices | None,
    node: str | None,
    hidden: Sequence[Path],
    readable: Sequence[Path] | None,
    use_sandbox: bool,
    log_bytes: int,
) -> tuple[Site, str]:
    """The site below `state`, and what separates tenants there in words fit for a contract."""
    shown = tuple(sandbox.interpreter_paths() if readable is None else (path.resolve() for path in readable))
    masked = (state, *(path.resolve() for path in hidden))
    users = uid_range(state)
    bwrap, why_not = _probe(state, shown, masked, users) if use_sandbox else (None, "the sandbox is switched off")
    if users is not None and bwrap is None and not all(map(reachable_by_others, (state, *shown))):
        users = None
        why_not += "; no users of their own, as other users cannot reach the engine's directories or its Python"
    site = Site(
        node=NodeId(node or f"local-{socket.gethostname()}"),
        runs=state / "runs",
        volumes=state / "volumes",
        devices=devices or find_devices(slots),
        mechanism=limits.find(f"sublet-{hashlib.sha256(str(state).encode()).hexdigest()[:8]}"),
        bwrap=bwrap,
        users=users,
        readable=shown,
        hidden=masked,
        log_bytes=log_bytes,
    )
    return site, _isolation(site, why_not)


def _probe(state: Path, readable: Sequence[Path], hidden: Sequence[Path], users: range | None) -> tuple[str | None, str]:
    """Build a sandbox once, exactly as runs will."""
    with tempfile.TemporaryDirectory(dir=state) as scratch:
        path = Path(scratch)
        (path / "tmp").mkdir()
        return sandbox.probe(sandbox.Walls(path, path, path, [], readable, hidden, users[0] if users else None))


def _isolation(site: Site, why_not: str) -> str:
    users = "a user of its own" if site.users is not None else "the service's user"
    bounds = f"limits by {site.mechanism.name}; network shared with the host"
    if site.bwrap is not None:
        return f"bubblewrap: own view of files, processes and IPC, read-only system; {users}; {bounds}"
    files = "files of others unreadable" if site.users is not None else "no wall between tenants' files"
    return f"plain processes in sessions of their own; {users}: {files}; {bounds} ({why_not})"
