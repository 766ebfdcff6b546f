"""Jobs that are alike: of one user, of names that differ in numbers only, of one shape. What is known of them, as numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Told:
    """What a label of the site says of a group's jobs; None: nothing. `by` names the label."""

    by: str = ""
    sensitivity: str | None = None  # public | internal | confidential | restricted
    kind: str | None = None  # batch | interactive | inference
    checkpoints: bool | None = None
    slack_h: float | None = None  # a job may be done so much later


@dataclass(frozen=True, slots=True)
class Group:
    """A group of jobs. Hours of one job are of wall time; `gpu_h` is of all of them together."""

    id: str
    user: str
    pattern: str  # of the names; empty where jobs have none
    gpus: int  # of a job, over all its nodes
    nodes: int
    gpu_model: str | None
    jobs: int
    gpu_h: float
    low_h: float  # run times: 5, 50 and 95 of 100 jobs at most, and the longest
    median_h: float
    high_h: float
    longest_h: float
    weighted_h: float  # half of the GPU time is in jobs that ran so long or longer
    statuses: Mapping[str, int] = field(default_factory=dict)
    restarted: int = 0  # jobs that were queued again and went on
    resumed: int = 0  # jobs that began within an hour after one of the group was cut short
    waited: int = 0  # jobs whose time in the queue is known
    wait_h: float = 0.0  # 9 of 10 of those waited at most so long
    giving_way: int = 0  # jobs that were marked as giving way already
    told: Told = Told()

    @property
    def name(self) -> str:
        """As people read it: user, pattern and shape."""
        return " / ".join(part for part in (self.user, self.pattern, self.shape) if part)

    @property
    def shape(self) -> str:
        """Nodes and GPUs of each, `2x8`; of one node only the GPUs."""
        model = f" {self.gpu_model}" if self.gpu_model else ""
        return f"{self.nodes}x{self.per_node}{model}" if self.nodes > 1 else f"{self.gpus}{model}"

    @property
    def per_node(self) -> int:
        """GPUs on each node, the last one filled up."""
        return -(-self.gpus // self.nodes)
