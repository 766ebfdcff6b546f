"""A cluster through slurmrestd, with a JSON web token."""

import getpass
import http.client
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sublet.core.errors import Invalid, Unavailable
from sublet.engines.slurm import jobs as reading_jobs
from sublet.engines.slurm import nodes as reading_nodes
from sublet.engines.slurm.jobs import Job
from sublet.engines.slurm.nodes import Node
from sublet.engines.slurm.site import Cluster
from sublet.engines.slurm.transport import Refused, Submission

_GONE = (2017, 2021)  # invalid job id, already done
_AWAY = ("unable to contact", "connection", "timed out", "socket", "munge", "zero bytes")


class Rest:
    """One connection that is kept open, and opened anew when it broke."""

    def __init__(self, cluster: Cluster, parser: str) -> None:
        url = urlsplit(cluster.rest_url)
        if url.scheme not in {"http", "https"} or not url.hostname:
            hint = "as in http://controller:6820"
            raise Invalid(f"{cluster.rest_url!r} is not the address of a slurmrestd", field="slurm_rest_url", hint=hint)
        assert cluster.token_file is not None, "checked with the cluster"
        self._secure, self._host, self._port = url.scheme == "https", url.hostname, url.port
        self._token_file, self._timeout_s = cluster.token_file, cluster.timeout_s
        self._user = cluster.user or getpass.getuser()
        self._path = f"/slurm/{parser}"
        self._connection: http.client.HTTPConnection | None = None

    def version(self) -> str:
        """The release behind it."""
        return str(self._call("GET", "/ping")["meta"]["Slurm"]["release"])

    def jobs(self) -> list[Job]:
        """All jobs, those that ended lately too."""
        return reading_jobs.read(self._call("GET", "/jobs")["jobs"])

    def nodes(self) -> list[Node]:
        """All nodes, in full: 1.3 kB each. `sinfo` is asked instead where it is installed."""
        return reading_nodes.read(self._call("GET", "/nodes")["nodes"])

    def address(self, node: str) -> str:
        """The `address` of a node."""
        found = self._call("GET", f"/node/{node}")["nodes"]
        return str(found[0]["address"] or node) if found else node

    def submit(self, job: Submission) -> int:
        """Queue a job. `nodelist` is taken although the published schema does not name it; a warning is not (see `Either`)."""
        wanted = {
            "name": job.name,
            "comment": job.comment,
            "partition": job.partition,
            "account": job.account,
            "qos": job.qos,
            "nodes": [len(job.nodes), len(job.nodes)],
            "nodelist": ",".join(job.nodes),
            "gres": job.gres,
            "tasks_per_node": 1,
            "tasks": len(job.nodes),
            "cpus_per_task": job.cpus,
            "memory_per_node": job.memory_mib,
            "time_limit": job.minutes,
            "standard_output": job.output,
            "standard_error": job.output,
            "open_mode": "append",
            "current_working_directory": "/",
            "environment": {"PATH": "/usr/local/bin:/usr/bin:/bin"},
            "requeue": "false",
        }
        body = {"script": job.script, "job": {key: value for key, value in wanted.items() if value != ""}}
        return int(self._call("POST", "/job/submit", body)["job_id"])

    def signal(self, jobs: Sequence[int], name: str) -> None:
        """The batch scripts and their steps, by one call each."""
        for job in jobs:
            self._end(f"/job/{job}?signal={name}")

    def cancel(self, jobs: Sequence[int]) -> None:
        """One call each: there is none for several."""
        for job in jobs:
            self._end(f"/job/{job}")

    def _end(self, path: str) -> None:
        try:
            self._call("DELETE", path)
        except Refused as refusal:
            if not any(f"[{number}]" in refusal.message for number in _GONE):
                raise

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        status, text = self._exchange(method, path, data)
        try:
            document: dict[str, Any] = json.loads(text) if text.strip() else {}
        except ValueError:
            document = {}
        errors = document.get("errors") or []
        if status == http.HTTPStatus.OK and not errors:
            return document
        said = "; ".join(f"{e.get('description') or e.get('error')} [{e.get('error_number', '?')}]" for e in errors)
        message = f"slurmrestd answered {method} {path} with {status}: {said or text[:200].strip() or 'no reason'}"
        if status in {401, 403} or "auth" in said.lower() or "unable to load" in said:  # what 22.05 makes of a bad token
            hint = f"write a fresh token of user {self._user} to {self._token_file} (`scontrol token`)"
            raise Unavailable(message, field="slurm_token_file", hint=hint)
        if not errors or any(word in said.lower() for word in _AWAY):
            raise Unavailable(message, hint="is slurmctld up, and the token still good?")
        raise Refused(message)

    def _exchange(self, method: str, path: str, data: bytes | None) -> tuple[int, str]:
        """One request. A connection that had been idle may have been closed: reading is then tried once more."""
        headers = {"X-SLURM-USER-NAME": self._user, "X-SLURM-USER-TOKEN": self._token(), "Content-Type": "application/json"}
        for last_try in (method != "GET" or self._connection is None, True):
            connection = self._open()
            try:
                connection.request(method, self._path + path, data, headers)
                answer = connection.getresponse()
                return answer.status, answer.read().decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._connection = None
                if last_try or isinstance(error, TimeoutError):
                    said = str(error) or type(error).__name__
                    hint = "is slurmrestd up? the command-line tools are used meanwhile where they are installed"
                    raise Unavailable(f"slurmrestd at {self._host}:{self._port}: {said}", hint=hint) from error
        raise AssertionError("unreachable")

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._host, self._port, timeout=self._timeout_s)
        return self._connection

    def _token(self) -> str:
        try:
            return self._token_file.read_text(encoding="ascii").strip().removeprefix("SLURM_JWT=")
        except OSError as error:
            hint = f"write one: scontrol token lifespan=86400 username={self._user} > {Path(self._token_file).name}"
            raise Unavailable(f"no token: {self._token_file}: {error.strerror}", field="slurm_token_file", hint=hint) from error
