"""A user of its own for each lease, where the service may give one: it can then neither read nor signal another's.

The user of a lease stays with its volume, so that later attempts own the files of the first.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

UID_BASE = 1_900_000_000
"""From here on no distribution gives out users; up to 2**31 every tool can bear them."""
UID_COUNT = 4_096
UID_BLOCKS = 48_000

_NEEDED_CAPABILITIES = (0, 1, 3, 5, 6, 7)  # chown, dac_override, fowner, kill, setgid, setuid


def uid_range(state: Path) -> range | None:
    """The users that leases may get, or None where this process may not change to them.

    Each state directory has its own block: hand-over ends every process of a user, so no two engines of one machine may
    share one.
    """
    digest = hashlib.sha256(os.fsencode(state)).digest()
    base = UID_BASE + int.from_bytes(digest[:8]) % UID_BLOCKS * UID_COUNT
    usable = os.geteuid() == 0 and _capable() and _mapped(base) and _mapped(base + UID_COUNT - 1)
    return range(base, base + UID_COUNT) if usable else None


def _capable() -> bool:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            bits = int(line.split()[1], 16)
            return all(bits >> number & 1 for number in _NEEDED_CAPABILITIES)
    return False


def _mapped(uid: int) -> bool:
    for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines():
        inside, _, length = map(int, line.split())
        if inside <= uid < inside + length:
            return True
    return False


def free_uid(users: range, taken: Iterable[int]) -> int | None:
    """A user nobody holds; None when all are taken."""
    return next(iter(sorted(set(users).difference(taken))), None)


def reachable_by_others(path: Path) -> bool:
    """Whether a foreign user can walk to `path`: every directory on the way lets others through."""
    resolved = path.resolve()
    return all(part.stat().st_mode & 0o001 for part in [resolved, *resolved.parents] if part.is_dir())
