"""Settings: one frozen value, from one TOML file and the environment, injected once by `main`.

`sublet.toml` in the working directory, or the file named by `--config`; `SUBLET_<NAME>` wins over the file. A key that we
do not know is an error: a misspelt setting must not look as if it were in force.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sublet.core.errors import Invalid

DEFAULT_FILE = Path("sublet.toml")
_PREFIX = "SUBLET_"


class Settings(BaseSettings):
    """How this control plane runs. Durations in milliseconds where the name says `_ms`."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    data_dir: Path = Field(default=Path("sublet-data"), description="everything that Sublet writes lies below it")
    database: str = Field(default="", description="sqlite:///FILE or postgresql://...; empty: SQLite in data_dir")
    host: str = Field(default="127.0.0.1", description="address the API listens on")
    port: int = Field(default=7440, ge=0, le=65_535)
    public_url: str = Field(default="", description="how workloads and people reach the API; empty: from host and port")
    engine: str = Field(default="local", description="where leases run")
    engine_dir: Path | None = Field(default=None, description="where the engine keeps runs; none: `engine` in data_dir")
    engine_moved: bool = Field(default=False, description="lead although runs are kept elsewhere: that place is gone for good")
    slots: int | None = Field(
        default=None, ge=1, le=64, description="slots of the local engine; none: this machine's GPUs or CPUs"
    )
    slurm_shared: Path | None = Field(default=None, description="directory that this machine and every node see alike")
    slurm_partition: str = Field(default="surplus", description="where leases queue")
    slurm_account: str = Field(default="", description="whom leases are charged to in Slurm; {tenant}: the tenant")
    slurm_qos: str = Field(default="", description="their quality of service in Slurm")
    slurm_rest_url: str = Field(default="", description="address of slurmrestd; empty: the command-line tools")
    slurm_token_file: Path | None = Field(default=None, description="its JSON web token, read again when it changes")
    slurm_user: str = Field(default="", description="whose token it is; empty: the user that runs Sublet")
    slurm_python: str = Field(default="python3", description="Python 3.11 or later on the nodes")
    slurm_programs: Path | None = Field(
        default=None,
        description="folder on the nodes whose python has sublet[models]; none: that of the one running here",
    )
    slurm_epilog: bool = Field(default=False, description="the nodes run Sublet's epilog; without its word no node is clean")
    slurm_timeout_ms: int = Field(
        default=10_000, ge=500, le=600_000, description="how long one call to Slurm may take before it counts as no answer"
    )
    slurm_name: str = Field(default="sublet", description="tells this installation's jobs from another's in one cluster")
    tick_ms: int = Field(default=500, ge=10, le=60_000, description="the loops run at least this often")
    meter_ms: int = Field(default=10_000, ge=10, le=3_600_000, description="usage is recorded at least this often")
    replica_ports: str = Field(default="18100-18999", description="ports that servers of models listen on, where they run")
    books_apart_from: int = Field(
        default=5_000, ge=0, description="with so many running leases a process of their own keeps the books"
    )
    takeover_ms: int = Field(default=10_000, ge=1_000, le=600_000, description="a leader silent for so long leads no longer")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
    request_bytes_max: int = Field(default=1_048_576, ge=1_024)
    gateway_port: int | None = Field(
        default=None, ge=0, le=65_535, description="where the model API listens; none: the port after `port`, or a free one"
    )
    gateway_name: str = Field(
        default="main", pattern=r"^[a-z0-9-]{1,40}$", description="each gateway of a data directory has its own"
    )
    gateway_site: str = Field(default="", description="the site where the model API and its files are; empty: not stated")
    gateway_requests_per_min: int = Field(default=6_000, ge=1, description="of a tenant to models, unless it has its own limit")
    gateway_tokens_per_min: int = Field(default=10_000_000, ge=1, description="of a tenant, asked and answered together")
    gateway_queue_max: int = Field(default=1_000, ge=0, description="requests that may wait for a replica of one model")
    gateway_queue_s: float = Field(default=30.0, gt=0, description="for how long they wait before they are refused")
    gateway_body_bytes_max: int = Field(default=8_388_608, ge=1_024)
    streams_max: int = Field(default=64, ge=1, description="event streams open at once")

    @property
    def database_url(self) -> str:
        """The database, given or the default one."""
        return self.database or f"sqlite:///{self.data_dir.resolve() / 'sublet.db'}"

    @property
    def engine_state(self) -> Path:
        """Where the engine keeps what it runs, given or the default one."""
        return (self.engine_dir or self.data_dir / "engine").resolve()

    @property
    def seen_by_runs(self) -> Path:
        """Below it lies what runs read, weights and training files: what a cluster's nodes share, else our own directory."""
        return self.slurm_shared or self.data_dir.resolve()

    @field_validator("replica_ports")
    @classmethod
    def _a_range(cls, value: str) -> str:
        first, _, last = value.partition("-")
        if not (first.isdecimal() and last.isdecimal() and 1_024 <= int(first) <= int(last) <= 65_535):
            raise ValueError("write FIRST-LAST, between 1024 and 65535")
        return value

    @property
    def ports(self) -> range:
        """`replica_ports` as numbers."""
        first, _, last = self.replica_ports.partition("-")
        return range(int(first), int(last) + 1)

    @property
    def base_url(self) -> str:
        """Where the API is reached, without a slash at the end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 (compared, not bound)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def models_url(self) -> str:
        """What clients of the model API call the base URL, once its port is known."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 (compared, not bound)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.gateway_port}/openai/v1"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over what `load` read from the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def load(file: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from a file (`sublet.toml` here, if there is one) and the environment; raises `Invalid` naming the key."""
    chosen = file or Path(environ.get("SUBLET_CONFIG", DEFAULT_FILE))
    named = file is not None or "SUBLET_CONFIG" in environ
    values = _read(chosen, must_exist=named)
    for key in values:
        if key not in Settings.model_fields:
            near = difflib.get_close_matches(key, Settings.model_fields, n=1)
            way_out = f"did you mean {near[0]!r}?" if near else f"the settings are: {', '.join(Settings.model_fields)}"
            raise Invalid(f"{chosen}: the key {key!r} is no setting", field=key, hint=way_out)
    for name in environ:
        _check_variable(name)
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        said = first["msg"][:1].lower() + first["msg"][1:]
        hint = f"correct it in {chosen}, or in {_PREFIX}{key.upper()}"
        raise Invalid(f"the setting {key} is not usable: {said}", field=key, hint=hint) from error


def changed(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """The settings with those that the command line gives and has checked; they win over file and environment."""
    return settings.model_copy(update=dict(given))


def _read(file: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError as error:
        if not must_exist:
            return {}
        raise Invalid(f"there is no settings file {file}", field="config", hint="write it, or leave --config away") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"{file} cannot be read: {error}", field="config", hint="it must be a TOML file") from error


def _check_variable(name: str) -> None:
    """Refuse a misspelt `SUBLET_<SETTING>`; variables that resemble no setting belong to others (a workload, a client)."""
    key = name.removeprefix(_PREFIX).lower()
    if not name.startswith(_PREFIX) or key in Settings.model_fields:
        return
    near = difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=0.75)
    if near:
        hint = f"did you mean {_PREFIX}{near[0].upper()}?"
        raise Invalid(f"the environment variable {name} is no setting", field=key, hint=hint)
