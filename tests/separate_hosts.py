"""Hosts of their own on this one machine: network namespaces on one bridge, whose cables can be pulled without a word.

A pulled cable is a port that left the bridge: both ends stay up and what is sent vanishes, as when a switch dies.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_NEW_NETWORK = 0x4000_0000  # CLONE_NEWNET


class NoHosts(Exception):
    """Network namespaces cannot be made here; the message says why."""


@dataclass(frozen=True)
class Host:
    """One of them. `name` is that of its network namespace."""

    name: str
    address: str
    _cable: str
    _bridge: str

    def cut(self) -> None:
        """Nothing reaches it and nothing comes from it any more."""
        _ip("link", "set", self._cable, "nomaster")

    def mend(self) -> None:
        """As before."""
        _ip("link", "set", self._cable, "master", self._bridge)


@dataclass(frozen=True)
class Network:
    """`here` is this machine's own address in it."""

    here: str
    subnet: str
    hosts: tuple[Host, ...]


@contextmanager
def separate_hosts(count: int) -> Iterator[Network]:
    """So many hosts; everything is gone at the end."""
    mark = os.getpid() % 10_000
    prefix, bridge = f"10.{100 + mark % 100}.{mark // 100}", f"sbr{mark}"
    with ExitStack() as undo:
        _ip("link", "add", bridge, "type", "bridge")
        undo.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{prefix}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        hosts = []
        for number in range(count):
            host = Host(f"sublet-{mark}-{number}", f"{prefix}.{number + 2}", f"sv{mark}-{number}", bridge)
            _ip("netns", "add", host.name)
            undo.callback(_ip, "netns", "del", host.name)
            _ip("link", "add", host._cable, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            _ip("link", "set", host._cable, "master", bridge, "up")
            for words in (
                ("addr", "add", f"{host.address}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", host.name, *words)
            hosts.append(host)
        yield Network(f"{prefix}.1", f"{prefix}.0/24", tuple(hosts))


def move_to(name: str) -> None:
    """This process, which must have one thread only, goes to a host."""
    library = ctypes.CDLL(None, use_errno=True)
    with (Path("/run/netns") / name).open() as space:
        if library.setns(space.fileno(), _NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {name}")


def _ip(*words: str) -> None:
    try:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NoHosts("there is no `ip` here (Debian: iproute2)") from error
    if done.returncode != 0:
        raise NoHosts(f"ip {' '.join(words)}: {done.stderr.strip()}")
