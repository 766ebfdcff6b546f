"""A real Slurm cluster on this one machine, for one test session: nodes with fake GPUs, own ports, thrown away at the end.

One munged, one slurmctld, a slurmd for each node, slurmrestd with JWT, and (where asked for) MariaDB with slurmdbd. All state,
keys, sockets and logs lie below one temporary directory and every port is free when it is chosen, so several clusters can run
side by side. Every process is started by us and ended by us. `scripts/slurm-cluster` keeps one up for a person.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
TIMEOUT_S = 60
PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmrestd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacctmgr", "sacct")
PORTS_FROM, PORTS_TO = 20_000, 32_000
FIRST_NODE = 4  # of all ports in a row that of the first slurmd; before it: slurmctld, slurmdbd, MariaDB, slurmrestd
GPU_MAJOR = 240  # of no driver here: slurmd wants character devices, and nothing opens them
SBIN = "/usr/sbin:/usr/local/sbin:/sbin"


class NoCluster(Exception):
    """There is no Slurm on this machine, or it cannot be started; the message says which."""


@dataclass(frozen=True)
class Layout:
    """What the cluster is like. `surplus`: it has the partition that `sublet slurm plan` asks for."""

    nodes: int = 8
    gpus: int = 8
    gpu_type: str = "h100"
    cpus: int = 64
    memory_mib: int = 512_000
    grace_s: int = 10
    accounting: bool = False
    rest: bool = True
    cgroups: bool = False
    surplus: bool = True
    preemption: bool = True
    epilog: str = ""  # a path; @home@ is the cluster's directory
    silent_s: int = 9  # a slurmd that is silent for so long is lost with its jobs
    lines: Sequence[str] = ()  # further lines of slurm.conf
    cloud: bool = False  # nodes that are only names: the controller's state and scheduling at any size, and nothing runs


@dataclass
class Cluster:
    """A running cluster."""

    home: Path
    layout: Layout
    port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        return self.home / "etc" / "slurm.conf"

    @property
    def rest_port(self) -> int:
        return self.port + 3

    @property
    def rest_url(self) -> str:
        return f"http://{HOST}:{self.rest_port}"

    @property
    def env(self) -> dict[str, str]:
        path = f"{os.environ.get('PATH', '/usr/bin:/bin')}:{SBIN}"
        return {**os.environ, "PATH": path, "SLURM_CONF": str(self.conf)}

    def nodes(self) -> list[str]:
        return [f"node{number}" for number in range(1, self.layout.nodes + 1)]

    def run(self, *words: str, text: str | None = None, check: bool = True, timeout: float = TIMEOUT_S) -> str:
        """One of Slurm's tools on this cluster; what it printed."""
        done = subprocess.run(
            words, env=self.env, input=text, capture_output=True, text=True, timeout=timeout, check=False, cwd=self.home
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def until_idle(self) -> None:
        idle = ("sinfo", "-h", "-N", "-p", "owner", "-t", "idle", "-o", "%N")
        self._wait(lambda: len(self.run(*idle, check=False).split()) == self.layout.nodes, "its nodes to be idle")

    def until_responding(self) -> None:
        up = ("sinfo", "-h", "-r", "-N", "-p", "owner", "-t", "idle,mixed,allocated", "-o", "%N")
        self._wait(lambda: len(self.run(*up, check=False).split()) == self.layout.nodes, "its nodes to be up")

    def token(self, user: str = "root", lifespan_s: int = 86_400) -> str:
        return self.run("scontrol", "token", f"username={user}", f"lifespan={lifespan_s}").partition("=")[2]

    def submit(self, script: str, *options: str) -> int:
        """A job of the owner."""
        words = ["sbatch", "--parsable", "--output=/dev/null", *options]
        return int(self.run(*words, text=f"#!/bin/sh\n{script}\n").split(";")[0])

    def state(self, job: int) -> str:
        return self.run("squeue", "-h", "-t", "all", "-j", str(job), "-o", "%T", check=False)

    def preempts(self, *, on: bool) -> None:
        """Whether Slurm itself preempts leases."""
        self.run("scontrol", "update", "partitionname=surplus", f"preemptmode={'REQUEUE' if on else 'OFF'}")

    def cancel_all(self) -> None:
        """End every job of the owner's partition."""
        self.run("scancel", "-Q", "-p", "owner", check=False)

    def until(self, what: Callable[[], bool], *, within_s: float = 30, said: str = "") -> None:
        """Wait until something holds."""
        give_up = time.monotonic() + within_s
        while not what():
            if time.monotonic() > give_up:
                raise AssertionError(f"not within {within_s} s: {said or what}; {self.run('squeue', '-t', 'all', check=False)}")
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """End one of the cluster's processes at once, as a crash would: `slurmctld`, `slurmrestd` or a node's name."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def restart(self, name: str) -> None:
        """End one of them as its service manager would, and start it again."""
        _end(self.processes.pop(name))
        self.start(name)

    def start(self, name: str) -> None:
        """Start one of them again, and wait until it listens: a node that Slurm did not miss yet may get a job at once."""
        starters: Mapping[str, Callable[[], None]] = {"slurmctld": self._slurmctld, "slurmrestd": self._slurmrestd}
        starters.get(name, lambda: self._slurmd_again(name))()

    # How it comes up.

    def up(self) -> None:
        _directories(self)
        self._munged()
        if self.layout.accounting:
            self._accounting()
        _write_conf(self)
        if self.layout.accounting:
            self.run("sacctmgr", "-i", "add", "cluster", "sublettest", check=False)
        self._slurmctld()
        if self.layout.cloud:
            if self.layout.rest:
                self._slurmrestd()
            return
        for node in self.nodes():
            self._slurmd(node)
        if self.layout.rest:
            self._slurmrestd()
        self.until_idle()
        if self.layout.accounting:
            self._accounts()

    def down(self) -> None:
        """End every process of the cluster; jobs first, because a job's step outlives its slurmd."""
        if "slurmctld" in self.processes:
            with suppress(subprocess.TimeoutExpired):
                self.run("scancel", "-Q", "--full", "-s", "KILL", "-u", "root", check=False, timeout=10)
                self.run("scancel", "-Q", "-u", "root", check=False, timeout=10)
        for name in sorted(self.processes, key=_order_of_end):
            _end(self.processes[name])
        for pid in _marked(f"SLURM_CONF={self.conf}"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.layout.cgroups:
            _remove_groups(self.nodes())

    def _spawn(self, name: str, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        with (self.home / "log" / f"{name}.out").open("ab") as out:
            process = subprocess.Popen(
                words, env={**self.env, **(env or {})}, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.home
            )
        self.processes[name] = process
        return process

    def _wait(self, ready: Callable[[], bool], said: str) -> None:
        give_up = time.monotonic() + TIMEOUT_S * (5 if self.layout.cloud else 1)
        while not ready():
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            if dead or time.monotonic() > give_up:
                raise NoCluster(f"waited for {said}: {self._last_words(dead)}")
            time.sleep(0.05)

    def _last_words(self, names: Sequence[str]) -> str:
        said = []
        for name in names or self.processes:
            log = self.home / "log" / f"{name}.out"
            lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
            said.append(f"{name}: {lines[-1] if lines else 'said nothing'}")
        return "; ".join(said[:4])

    def _munged(self) -> None:
        munge = self.home / "munge"
        words = [
            f"--{name}={munge / file}" for name, file in (("key-file", "munge.key"), ("socket", "sock"), ("pid-file", "pid"))
        ]
        words += [f"--seed-file={munge / 'seed'}", f"--log-file={self.home / 'log' / 'munged.log'}", "--num-threads=4"]
        self._spawn("munged", "munged", "--force", "--foreground", *words)
        self._wait((munge / "sock").exists, "munged")

    def _slurmctld(self) -> None:
        self._spawn("slurmctld", "slurmctld", "-D")
        self._wait(lambda: "UP" in self.run("scontrol", "ping", check=False), "slurmctld")

    def _slurmd(self, node: str) -> None:
        (self.home / "spool" / node).mkdir(exist_ok=True)
        self._spawn(node, "slurmd", "-D", "-N", node)

    def _slurmd_again(self, node: str) -> None:
        self._slurmd(node)
        port = self.port + FIRST_NODE + self.nodes().index(node)
        self._wait(lambda: _listens(port), node)

    def _slurmrestd(self) -> None:
        """It refuses to run as root or SlurmUser; SLURM_JWT=daemon makes it take tokens only."""
        plugins = "openapi/v0.0.38" + (",openapi/dbv0.0.38" if self.layout.accounting else "")
        as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        words = [*as_nobody, "slurmrestd", "-a", "rest_auth/jwt", "-s", plugins, f"{HOST}:{self.rest_port}"]
        self._spawn("slurmrestd", *words, env={"SLURM_JWT": "daemon"})
        self._wait(lambda: _listens(self.rest_port), "slurmrestd")

    def _accounting(self) -> None:
        data, sock = self.home / "sql", self.home / "run" / "sql.sock"
        install = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}"]
        self.run(*install, "--auth-root-authentication-method=normal")
        words = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={sock}", f"--bind-address={HOST}"]
        words += [f"--port={self.port + 2}", "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"]
        self._spawn("mariadbd", *words, "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve")
        sql = ["--no-defaults", f"--socket={sock}", "-u", "root"]
        self._wait(lambda: "alive" in self.run("mariadb-admin", *sql, "ping", check=False), "MariaDB")
        self.run("mariadb", *sql, "-e", _DATABASE)
        (self.home / "etc" / "slurmdbd.conf").write_text(_slurmdbd_conf(self))
        (self.home / "etc" / "slurmdbd.conf").chmod(0o600)
        self._spawn("slurmdbd", "slurmdbd", "-D")
        self._wait(lambda: _listens(self.port + 1), "slurmdbd")

    def _accounts(self) -> None:
        """The owner's account; leases get theirs from what `sublet slurm plan` prints."""
        self.run("sacctmgr", "-i", "add", "account", "owners", check=False)
        self.run("sacctmgr", "-i", "add", "user", "root", "account=owners", "defaultaccount=owners", check=False)


_DATABASE = (
    "create database slurm_acct; create user slurm@'127.0.0.1' identified by 'test';"
    " grant all on slurm_acct.* to slurm@'127.0.0.1';"
)


@contextmanager
def cluster(layout: Layout | None = None) -> Iterator[Cluster]:
    """A running cluster in a directory of its own, which goes with it."""
    chosen = layout or Layout()
    check(chosen)
    home = Path(tempfile.mkdtemp(prefix="sublet-slurm-"))
    home.chmod(0o755)
    made = Cluster(home, chosen, _free_ports(FIRST_NODE + (0 if chosen.cloud else chosen.nodes)))
    try:
        made.up()
        yield made
    finally:
        made.down()
        shutil.rmtree(home, ignore_errors=True)


def check(layout: Layout) -> None:
    """Raise `NoCluster` where none can run."""
    if os.geteuid() != 0:
        raise NoCluster("a Slurm cluster of its own needs root: its daemons run jobs as other users")
    wanted = (*PROGRAMS, *(ACCOUNTING_PROGRAMS if layout.accounting else ()))
    path = f"{os.environ.get('PATH', '')}:{SBIN}"
    missing = [name for name in wanted if shutil.which(name, path=path) is None]
    if missing:
        raise NoCluster(f"Slurm is not installed: {', '.join(missing)} (scripts/system-packages installs it)")


def _free_ports(count: int) -> int:
    """The first of `count` ports in a row that are all free; from a place of our own, so that two sessions rarely meet."""
    step = 100
    places = (PORTS_TO - PORTS_FROM) // step
    first = os.getpid() % places
    for turn in range(places):
        base = PORTS_FROM + (first + turn) % places * step
        if all(_is_free(base + offset) for offset in range(count)):
            return base
    raise NoCluster(f"no {count} ports in a row are free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _directories(made: Cluster) -> None:
    for name in ("etc", "log", "run", "state", "spool", "gpu", "munge"):
        (made.home / name).mkdir(mode=0o755)
    for path, size in ((made.home / "munge" / "munge.key", 1024), (made.home / "etc" / "jwt.key", 32)):
        path.write_bytes(secrets.token_bytes(size))
        path.chmod(0o600)
    for number in range(made.layout.gpus):
        device = made.home / "gpu" / f"gpu{number}"
        try:
            os.mknod(device, 0o020666, os.makedev(GPU_MAJOR, number))
            device.chmod(0o666)
        except OSError:
            device.symlink_to("/dev/null")
    if made.layout.accounting:
        (made.home / "sql").mkdir(mode=0o700)


def _slurmdbd_conf(made: Cluster) -> str:
    home = made.home
    return f"""AuthType=auth/munge
AuthInfo=socket={home}/munge/sock
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={home}/etc/jwt.key
DbdHost=localhost
DbdAddr={HOST}
DbdPort={made.port + 1}
SlurmUser=root
PidFile={home}/run/slurmdbd.pid
LogFile={home}/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost={HOST}
StoragePort={made.port + 2}
StorageUser=slurm
StoragePass=test
StorageLoc=slurm_acct
"""


def _write_conf(made: Cluster) -> None:
    home, layout = made.home, made.layout
    first = made.port + FIRST_NODE
    if layout.cgroups:
        (home / "etc" / "cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nCgroupAutomount=no\n"
            "ConstrainDevices=yes\nConstrainCores=no\nConstrainRAMSpace=no\n"
        )
    tracking = "proctrack/cgroup\nTaskPlugin=task/cgroup" if layout.cgroups else "proctrack/linuxproc\nTaskPlugin=task/none"
    accounting = "AccountingStorageType=accounting_storage/none\n"
    if layout.accounting:
        accounting = (
            f"AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost={HOST}\n"
            f"AccountingStoragePort={made.port + 1}\nAccountingStoragePass={home}/munge/sock\n"
            f"AccountingStorageEnforce=associations,limits,qos\nAccountingStorageTRES=gres/gpu,gres/gpu:{layout.gpu_type}\n"
        )
    surplus = ""
    if layout.surplus:
        surplus = f"PartitionName=surplus Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE GraceTime={layout.grace_s} State=UP\n"
    preemption = warning = ""
    if layout.preemption:
        preemption = "PreemptType=preempt/partition_prio\nPreemptMode=REQUEUE\n"
        warning = "SlurmctldParameters=preempt_send_user_signal\n"
    epilog = f"Epilog={layout.epilog.replace('@home@', str(home))}\n" if layout.epilog else ""
    gpu = layout.gpu_type
    made.conf.write_text(
        f"""ClusterName=sublettest
SlurmctldHost=localhost({HOST})
SlurmctldPort={made.port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={home}/munge/sock,cred_expire=10
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={home}/etc/jwt.key
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool/%n
SlurmctldPidFile={home}/run/slurmctld.pid
SlurmdPidFile={home}/run/slurmd.%n.pid
SlurmctldLogFile={home}/log/slurmctld.log
SlurmdLogFile={home}/log/slurmd.%n.log
ProctrackType={tracking}
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
{warning}SlurmdParameters=config_overrides
SlurmctldTimeout=30
SlurmdTimeout={layout.silent_s}
MessageTimeout=30
InactiveLimit=0
MinJobAge=300
KillWait=5
MaxJobCount=200000
MaxArraySize=10001
SchedulerType=sched/backfill
SchedulerParameters={_scheduling(layout)}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
PriorityType=priority/multifactor
PriorityWeightPartition=10000
{preemption}JobAcctGatherType=jobacct_gather/none
{accounting}{epilog}{_node_lines(layout, first)}
PartitionName=owner Nodes=ALL Default=YES PriorityTier=100 PreemptMode=OFF MaxTime=INFINITE DefMemPerCPU=1000 State=UP
{surplus}"""
        + "".join(f"{line}\n" for line in layout.lines)
    )
    made.conf.chmod(0o644)
    last = layout.gpus - 1
    files = f"gpu[0-{last}]" if last else "gpu0"
    nodes = "" if layout.cloud else f"NodeName=node[1-{layout.nodes}] "
    (home / "etc" / "gres.conf").write_text(f"{nodes}Name=gpu Type={gpu} File={home}/gpu/{files}\n")


def _scheduling(layout: Layout) -> str:
    """Soon on a small cluster; on one of names only, where a pass over the queue takes seconds, not at every submission."""
    if layout.cloud:
        return "defer,sched_interval=30,bf_interval=60,default_queue_depth=20000,max_rpc_cnt=150"
    often = "batch_sched_delay=0,sched_min_interval=100000,sched_interval=2"
    return f"{often},bf_interval=2,bf_continue,default_queue_depth=1000"


RANGE_MOST = 25_000
"""Nodes in one range: slurmctld takes about 64,000."""


def _node_lines(layout: Layout, first: int) -> str:
    each = f"CPUs={layout.cpus} RealMemory={layout.memory_mib} Gres=gpu:{layout.gpu_type}:{layout.gpus}"
    if not layout.cloud:
        ports = f"[{first}-{first + layout.nodes - 1}]"
        return f"NodeName=node[1-{layout.nodes}] NodeHostname=localhost NodeAddr={HOST} Port={ports} {each} State=UNKNOWN"
    lines = ["PrivateData=cloud", "SuspendProgram=/bin/true", "ResumeProgram=/bin/true", "SuspendTime=-1"]
    lines += ["ResumeTimeout=3000", "TreeWidth=65000"]
    for begin in range(1, layout.nodes + 1, RANGE_MOST):
        end = min(begin + RANGE_MOST - 1, layout.nodes)
        lines.append(f"NodeName=node[{begin}-{end}] NodeAddr={HOST} {each} State=CLOUD")
    return "\n".join(lines)


def _order_of_end(name: str) -> int:
    order = ("slurmrestd", "node", "slurmctld", "slurmdbd", "mariadbd", "munged")
    return next(i for i, prefix in enumerate(order) if name.startswith(prefix))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _marked(mark: str) -> Iterator[int]:
    """Processes that were started with this variable: steps and jobs that outlived their slurmd."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)


def _remove_groups(nodes: Sequence[str]) -> None:
    """Slurm leaves empty control groups behind."""
    for controller in ("freezer", "devices", "memory", "cpuset"):
        for node in nodes:
            top = Path("/sys/fs/cgroup") / controller / f"slurm_{node}"
            for path, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    Path(path).rmdir()
