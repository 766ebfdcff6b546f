"""What the gateway counts, by OpenTelemetry's conventions for generative AI, in Prometheus' form.

The conventions name `gen_ai.client.token.usage`, `gen_ai.server.request.duration`, `gen_ai.server.time_to_first_token` and
`gen_ai.server.time_per_output_token`; dots become underscores and the unit is the suffix.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sublet.core.model_request import ModelRequest
from sublet.gateway.refusals import Refusal
from sublet.gateway.routing import Line
from sublet.gateway.works import Work

_PROVIDER = "sublet"
_OPERATIONS: Mapping[str, str] = {"chat": "chat", "completion": "text_completion", "embedding": "embeddings"}
_BASE = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model")
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_EACH_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)


class _Children:
    """The histograms of one kind of request, looked up once."""

    __slots__ = ("duration", "each", "first", "input", "output")

    def __init__(self, gauges: "Gauges", kind: str, model: str) -> None:
        base = (_OPERATIONS.get(kind, kind), _PROVIDER, model, model)
        self.duration = gauges.duration.labels(*base)
        self.first, self.each = gauges.first.labels(*base), gauges.each.labels(*base)
        self.input, self.output = gauges.tokens.labels(*base, "input"), gauges.tokens.labels(*base, "output")


class Gauges:
    """One gateway's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a request",
            (*_BASE, "gen_ai_token_type"),
            buckets=_TOKENS,
            registry=self.registry,
        )
        self.duration = Histogram(
            "gen_ai_server_request_duration_seconds", "A request, whole", _BASE, buckets=_SECONDS, registry=self.registry
        )
        self.first = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Until the first token",
            _BASE,
            buckets=_FIRST_S,
            registry=self.registry,
        )
        self.each = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "A token after the first",
            _BASE,
            buckets=_EACH_S,
            registry=self.registry,
        )
        self.refused = Counter(
            "sublet_gateway_refusals_total", "Requests answered with an error", ("status", "code"), registry=self.registry
        )
        self.outcomes = Counter("sublet_gateway_requests_total", "Requests that are over", ("outcome",), registry=self.registry)
        self.moves = Counter("sublet_gateway_moves_total", "Requests that went on at another replica", registry=self.registry)
        self.running = Gauge("sublet_gateway_requests_running", "Requests at replicas", ("model",), registry=self.registry)
        self.waiting = Gauge(
            "sublet_gateway_requests_waiting", "Requests that wait for one", ("model",), registry=self.registry
        )
        self.unbooked = Gauge("sublet_gateway_unbooked_requests", "Requests in the journal only", registry=self.registry)
        self._children: dict[tuple[str, str], _Children] = {}

    def over(self, request: ModelRequest) -> None:
        """A request is over."""
        key = (request.kind, request.model)
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = _Children(self, *key)
        children.duration.observe(request.took_us / 1e6)
        children.input.observe(request.input_tokens)
        if request.output_tokens:
            children.output.observe(request.output_tokens)
        if request.first_us:
            children.first.observe(request.first_us / 1e6)
            if request.output_tokens > 1:
                children.each.observe((request.took_us - request.first_us) / 1e6 / (request.output_tokens - 1))
        self.outcomes.labels(request.outcome.value).inc()
        if request.moves:
            self.moves.inc(request.moves)

    def failed(self, work: Work, _error: BaseException) -> None:
        """Nothing could be answered to a request that was let in."""
        if work.moves:
            self.moves.inc(work.moves)

    def refusal(self, refusal: Refusal) -> None:
        """A request was refused."""
        self.refused.labels(str(refusal.status), refusal.code or refusal.kind).inc()

    def page(self, lines: Iterable[Line], *, unbooked: int) -> bytes:
        """All of it as text."""
        for line in lines:
            self.running.labels(line.model.name).set(sum(post.running for post in line.posts.values()))
            self.waiting.labels(line.model.name).set(line.waiting)
        self.unbooked.set(unbooked)
        return generate_latest(self.registry)
