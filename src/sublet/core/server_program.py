"""What a server program is to us: other people's software that loads a model and speaks OpenAI's API.

Everything that tells one from another is a value or a pure function here; `gateway/servers` has one file for each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sublet.core.model import ON_ITS_NODE, Model

Option = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a server can do beside chat and completions. Paths are below its root; empty: it cannot."""

    tokenize: str = ""  # POST a text, get its tokens
    template: str = ""  # POST messages, get the text (or tokens) that the model would see
    continues: bool = False  # /v1/completions takes a list of token ids as its prompt: a stream goes on from what was sent
    embeddings: bool = False
    lora: bool = False
    schema: bool = False  # answers are held to a JSON schema while they are drawn
    calls: bool = False  # whoever demands a call of a tool gets one; if not, the gateway binds the answer by `schema`
    cached_tokens: bool = False  # its usage says how many input tokens a prefix cache spared


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a replica runs on, as the pool sells it. `cores` are CPU cores that are its own; 0: not known."""

    gpu_model: str
    gpus: int = 1
    cores: int = 0

    @property
    def is_cpu(self) -> bool:
        """Whether its slots are CPU cores."""
        return self.gpu_model.lower() == "cpu"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is reached, and the bearer token it asks for. `host` may be `ON_ITS_NODE`."""

    host: str
    port: int
    secret: str

    @property
    def listens_on(self) -> str:
        """What it listens on: whoever reaches it by its node's address comes from outside of that node."""
        return "0.0.0.0" if self.host == ON_ITS_NODE else self.host  # noqa: S104 (it asks for its token)

    @property
    def beside_it(self) -> str:
        """How a process on the same node reaches it."""
        return "127.0.0.1" if self.host == ON_ITS_NODE else self.host

    @property
    def url(self) -> str:
        """The base URL of the official clients."""
        return f"http://{self.host}:{self.port}/v1"


@dataclass(frozen=True, slots=True)
class Launch:
    """How one replica is started. `argv` holds no secret: those are in `env`."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()  # files and folders beside its interpreter that it must be able to read
    slots: int = 1  # requests it works on at once
    why: tuple[str, ...] = ()  # a sentence for each option that we chose


@dataclass(frozen=True, slots=True)
class Load:
    """Requests inside a server."""

    busy: int
    queued: int


@dataclass(frozen=True, slots=True)
class ServerProgram:
    """One server program."""

    name: str
    abilities: Abilities
    options: Mapping[str, str]  # what `sublet model add --option` may set, and what it means
    runs: bool = True  # on a lease of ours; False: it is somebody else's, at an address
    formats: tuple[str, ...] = ()  # of weights: `gguf`, `safetensors`
    health: str = ""  # GET: 200 once it takes requests
    metrics: str = ""  # GET: Prometheus text
    launch: Callable[[Model, Hardware, Address], Launch] | None = None
    plain: Callable[[Model, Hardware, Address], Launch] | None = None  # as its makers start it: to compare with
    load: Callable[[str], Load] | None = None  # from what `metrics` answered
    progress: Callable[[str], str] = lambda _: ""  # from what it has printed, while it starts


def figure(metrics: str, names: Sequence[str]) -> int:
    """The sum of some Prometheus figures in a text; those that are not there count nothing."""
    total = 0.0
    for line in metrics.splitlines():
        name = line.partition("{")[0].partition(" ")[0]
        if name in names:
            total += float(line.rpartition(" ")[2])
    return int(total)
