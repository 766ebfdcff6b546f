"""A cluster through Slurm's own command-line tools, which read `slurm.conf` (or `SLURM_CONF`) as for everybody."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sublet.core.errors import Invalid, Unavailable
from sublet.engines.slurm import columns
from sublet.engines.slurm import nodes as reading_nodes
from sublet.engines.slurm.jobs import ON_NODES, Job
from sublet.engines.slurm.nodes import Node
from sublet.engines.slurm.transport import WARN_SIGNAL, Refused, Submission

NEEDED = ("sbatch", "squeue", "scancel", "sinfo", "scontrol")
JOBS_A_CALL = 1_000
_HOMES = ("/usr/local/bin", "/usr/bin", "/bin")
DETAILS_A_LOOK = 16
"""Jobs whose division among their nodes is asked for in one look; others are taken as even until the next looks."""
_AWAY = ("unable to contact", "connection refused", "timed out", "zero bytes", "connection reset", "socket", "munge")
_GONE = ("invalid job id", "already completing", "already completed", "already finished")


class Tools:
    """Each call starts a program. Jobs whose columns are those of the last look are not read anew."""

    def __init__(self, *, timeout_s: float) -> None:
        missing = [name for name in NEEDED if shutil.which(name) is None]
        if missing:
            hint = "install Slurm's client programs on this machine (Debian: slurm-client)"
            raise Invalid(f"Slurm's tools are not installed here: {', '.join(missing)}", field="engine", hint=hint)
        self._timeout_s = timeout_s
        self._read: dict[str, Job] = {}  # by its columns
        self._details: dict[tuple[int, int], columns.Held] = {}  # by number and restarts

    def version(self) -> str:
        """As `sinfo --version` prints it."""
        return self.run("sinfo", "--version").strip()

    def jobs(self) -> list[Job]:
        """All jobs, those that ended lately too."""
        wanted = ("squeue", "-h", "-a", "-t", "all", f"--Format={columns.COLUMNS}")
        said = self.run(*wanted, env={**os.environ, **columns.SURROUNDINGS})
        self._read = columns.read_all(said, self._read)
        return self._with_details(self._read.values())

    def nodes(self) -> list[Node]:
        """All nodes, those hidden too; alike ones share a line."""
        return reading_nodes.read_lines(self.run("sinfo", "-h", "-a", "-e", f"--Format={reading_nodes.COLUMNS}"))

    def address(self, node: str) -> str:
        """`NodeAddr`, as `scontrol show node` prints it."""
        found = re.search(r"\bNodeAddr=(\S+)", self.run("scontrol", "-o", "show", "node", node))
        return node if found is None else found[1]

    def submit(self, job: Submission) -> int:
        """`sbatch`, the script on its standard input. Nothing of our own environment goes along.

        All of an environment that is nearly empty does: with any other word for `--export` each node asks a login shell for the
        user's, which takes longer than all the rest of a start.
        """
        options = {
            "job-name": job.name,
            "comment": job.comment,
            "partition": job.partition,
            "account": job.account,
            "qos": job.qos,
            "nodes": str(len(job.nodes)),
            "nodelist": ",".join(job.nodes),
            "gres": job.gres,
            "ntasks-per-node": "1",
            "cpus-per-task": str(job.cpus),
            "mem": f"{job.memory_mib}M",
            "time": str(job.minutes),
            "output": job.output,
            "open-mode": "append",
            "chdir": "/",
            "export": "ALL",
            "signal": f"B:{WARN_SIGNAL}@{job.warn_s}",
        }
        words = [f"--{name}={value}" for name, value in options.items() if value]
        words += ["--hold"] if job.held else []
        said = self.run("sbatch", "--parsable", "--no-requeue", *words, text=job.script, env=_little())
        return int(said.strip().split(";")[0])

    def signal(self, jobs: Sequence[int], name: str) -> None:
        """`scancel --batch --signal`."""
        self._end(["--batch", f"--signal={name}"], jobs)

    def cancel(self, jobs: Sequence[int]) -> None:
        """`scancel`."""
        self._end([], jobs)

    def run(self, *words: str, text: str | None = None, env: Mapping[str, str] | None = None) -> str:
        """What a tool prints. Raises `Unavailable` if slurmctld does not answer, `Refused` if it says no."""
        try:
            done = subprocess.run(
                words,
                input=text,
                capture_output=True,
                text=True,
                timeout=self._timeout_s,
                check=False,
                errors="replace",
                env=env,
            )
        except subprocess.TimeoutExpired as error:
            hint = "is slurmctld up? `scontrol ping` says"
            raise Unavailable(f"{words[0]} did not answer within {self._timeout_s:g} s", hint=hint) from error
        if done.returncode == 0:
            return done.stdout
        said = (done.stderr.strip() or done.stdout.strip()).replace("\n", "; ")
        if any(word in said.lower() for word in _AWAY):
            raise Unavailable(f"{words[0]}: {said}", hint="is slurmctld up? `scontrol ping` says")
        raise Refused(f"{words[0]}: {said}")

    def _end(self, words: Sequence[str], jobs: Sequence[int]) -> None:
        """In portions that fit a command line."""
        for first in range(0, len(jobs), JOBS_A_CALL):
            try:
                self.run("scancel", *words, *(str(job) for job in jobs[first : first + JOBS_A_CALL]))
            except Refused as refusal:
                if not any(word in refusal.message.lower() for word in _GONE):
                    raise

    def _with_details(self, jobs: Iterable[Job]) -> list[Job]:
        """The jobs, and what each holds on its nodes where its columns do not tell; that stays as it is while it runs."""
        found, unsure, asked = [], {}, 0
        for job in jobs:
            if job.sure or job.state not in ON_NODES:
                found.append(job)
                continue
            key = (job.id, job.restarts)
            held = self._details.get(key)
            if held is None and asked < DETAILS_A_LOOK:
                asked += 1
                held = self._ask_details(job.id)
            if held is not None:
                unsure[key] = held
            found.append(replace(job, held=held or job.held))
        self._details = unsure
        return found

    def _ask_details(self, job: int) -> columns.Held | None:
        try:
            return columns.read_details(self.run("scontrol", "-d", "-o", "show", "job", str(job)), job)
        except Refused:  # it has just gone
            return None


def _little() -> dict[str, str]:
    """The environment that a job starts with: where Slurm's own programs and the system's are. Its nodes add Slurm's words."""
    found = shutil.which("sbatch")
    homes = [*([] if found is None else [str(Path(found).parent)]), *_HOMES]
    conf = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}  # the nodes put their own in its place
    return {"PATH": ":".join(dict.fromkeys(homes)), **conf}
