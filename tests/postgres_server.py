"""A real PostgreSQL server for one test session: own data directory, loopback only, thrown away at the end."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from free_ports import free_port

_TIMEOUT_S = 60
_ENV = {"PATH": os.environ.get("PATH", ""), "LANG": "C"}
"""What it is started with: nothing by which whoever cleans up after a test takes it for his own."""


class NoServer(Exception):
    """There is no PostgreSQL on this machine, or it cannot be started; the message says which."""


def _programs() -> Path:
    """The newest installation's programs: Debian keeps them off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise NoServer("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    return Path(on_path).resolve().parent


def _as_postgres() -> list[str]:
    """PostgreSQL refuses to run as root, so root hands over to the package's user."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        raise NoServer("root cannot run PostgreSQL and there is no user `postgres`") from None
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]


@contextmanager
def server(*, address: str = "127.0.0.1", trusted: str = "", below: Path | None = None) -> Iterator[str]:
    """The URL of a running server, without a database name.

    `address`: where it listens; `trusted`: a subnet whose hosts it lets in; `below`: the directory that its own one is made in.
    """
    programs, prefix = _programs(), _as_postgres()
    home = Path(tempfile.mkdtemp(prefix="sublet-postgres-", dir=below))
    if prefix:
        shutil.chown(home, "postgres")
    port = free_port()
    data = home / "data"
    settings = f"-c listen_addresses={address} -p {port} -k {home} -c fsync=off -c full_page_writes=off -c max_connections=60"

    def program(name: str, *arguments: str) -> None:
        command = [*prefix, str(programs / name), "-D", str(data), *arguments]
        done = subprocess.run(command, cwd=home, env=_ENV, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        if done.returncode != 0:
            log = home / "log"
            last = log.read_text()[-2_000:] if log.exists() else "it has no log"
            raise NoServer(f"{name} failed: {done.stderr.strip() or done.stdout.strip()}; {last}")

    try:
        program("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
        if trusted:
            with (data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {trusted} trust\n")
        program("pg_ctl", "-w", "-l", str(home / "log"), "-o", settings, "start")
        try:
            yield f"postgresql://postgres@{address}:{port}"
        finally:
            program("pg_ctl", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def administer(url: str, statement: str) -> None:
    """One statement outside any transaction, such as CREATE DATABASE."""
    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        connection.execute(statement.encode())


def restart(url: str) -> None:
    """End the server in the middle of its work, as a crash would, and start it again; everybody's connection breaks."""
    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    home = Path(row[0]).parent
    command = [
        *_as_postgres(),
        str(_programs() / "pg_ctl"),
        "-D",
        row[0],
        "-m",
        "immediate",
        "-w",
        "-l",
        str(home / "log"),
        "restart",
    ]
    subprocess.run(command, cwd=home, env=_ENV, capture_output=True, check=True, timeout=_TIMEOUT_S)


def start_again(url: str, below: Path) -> None:
    """Start the server that `server(below=...)` made there, where it has ended by itself."""
    (data,) = below.glob("sublet-postgres-*/data")
    try:
        psycopg.connect(f"{url}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        words = ["-D", str(data), "-w", "-l", str(data.parent / "log"), "restart"]  # with what it was last started with
        command = [*_as_postgres(), str(_programs() / "pg_ctl"), *words]
        subprocess.run(command, cwd=data.parent, env=_ENV, check=True, timeout=_TIMEOUT_S)
