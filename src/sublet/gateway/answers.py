"""From a request that was read to its answer: let in, paid for, sent to a replica, metered, answered."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import orjson
import structlog

from sublet.app.clock import Clock
from sublet.core.errors import SubletError
from sublet.core.ids import ReplicaId
from sublet.core.model import Model
from sublet.core.model_request import Counted, Outcome
from sublet.core.tokens import Tokens, reserve_tokens_micro
from sublet.gateway.asks import PATHS, Ask, Kind
from sublet.gateway.calls import bound_to
from sublet.gateway.catalogue import Catalogue, Target
from sublet.gateway.dialects import DIALECTS
from sublet.gateway.dialects.dialect import Bears, usage_of
from sublet.gateway.gauges import Gauges
from sublet.gateway.health import Health
from sublet.gateway.meter import Meter
from sublet.gateway.money import Money, Reservation
from sublet.gateway.refusals import Refusal, broken, busy, elsewhere, invalid, no_money
from sublet.gateway.routing import Post, Wish
from sublet.gateway.servers import SERVERS
from sublet.gateway.shown import spelled, with_functions
from sublet.gateway.tools import narrowed
from sublet.gateway.upstream import Unreachable, Upstream, Whole
from sublet.gateway.visitors import Visitor
from sublet.gateway.works import Work, fresh_id

TRIES = 3
"""A request is sent so often at most, each time to another replica if there is one."""
_NOT_OPENAIS = ("timings", "__verbose", "prompt_token_ids", "kv_transfer_params")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that an answer needs."""

    clock: Clock
    catalogue: Catalogue
    money: Money
    meter: Meter
    upstream: Upstream
    health: Health
    gauges: Gauges
    wait_s: float

    async def let_in(self, visitor: Visitor, ask: Ask, *, percent: int = 100, batch: str = "", name: str = "") -> Work:
        """Check the limits and reserve the money; raises `Refusal`. Whoever is let in is shown out: `settled` or `dropped`."""
        began, at_us = monotonic(), self.clock.now_us()
        guest = visitor.guest
        target = _chosen(await self.catalogue.targets(ask.model, guest))
        model, bounds = target.model, ask.bounds(target.model)
        id_ = name or fresh_id(ask.kind)
        binding = bound_to(ask.must_call, id_) if ask.must_call and _binds(model) else None
        if model.currency != guest.currency:
            raise invalid(f"{model.name} is priced in {model.currency}, your account is in {guest.currency}", param="model")
        tokens = 0 if batch else bounds.input_max + bounds.output_max
        if not batch:
            guest.limits.take(tokens)
        try:
            amount = reserve_tokens_micro(bounds.input_max, bounds.output_max, model.prices, percent=percent)
            reserved = await self.money.reserve(guest.tenant, amount)
        except BaseException as error:
            guest.limits.tokens.give(tokens)
            if isinstance(error, SubletError):
                raise busy(f"the books cannot be written now: {error.message}") from error
            raise
        if reserved is None:
            guest.limits.tokens.give(tokens)
            raise no_money(ask.model)
        return Work(id_, visitor, ask, at_us, began, target, bounds, reserved, tokens, percent, batch, binding)

    async def answer(self, work: Work) -> dict[str, Any]:
        """The whole answer; raises `Refusal`. The request is metered and its money settled either way."""
        try:
            document = _document(await self._ask_some(work), work)
            if work.binding is not None:
                work.binding.turn(document)
        except BaseException as error:
            self.dropped(work)
            self.gauges.failed(work, error)
            raise
        work.note_first()
        tokens = usage_of(document)
        counted = Counted.SERVER if tokens is not None else Counted.GATEWAY
        await self.settled(work, tokens or _estimate(work, document), Outcome.DONE, counted)
        document["model"] = work.model.name
        if work.ask.kind is not Kind.EMBEDDING:
            document["id"], document["service_tier"] = work.id, work.tier
        for name in _NOT_OPENAIS:
            document.pop(name, None)
        return document

    def body_for(self, work: Work) -> dict[str, Any]:
        """What the server program is asked: the caller's body with its own name for the model and a bound on the answer."""
        body = dict(work.ask.body)
        body["model"] = work.model.options.get("model") or work.model.name
        for name in ("service_tier", "user", "store", "metadata"):
            body.pop(name, None)
        if work.ask.output_max is None and work.bounds.limit is not None:
            body["max_tokens"] = work.bounds.limit
        return narrowed(body) if "tool_choice" in body else body

    async def body_at(self, post: Post, work: Work) -> dict[str, Any]:
        """The same for one replica: with what its template does not show of tools, and bound where a call is demanded."""
        body, ask, binding = self.body_for(work), work.ask, work.binding
        if binding is None and not ask.tool_turns:
            return body
        if post.bears is None:
            post.bears = await DIALECTS[work.model.server].bears(self.upstream, post.replica)
        bears = post.bears or Bears()
        if ask.tool_turns and not bears.turns:
            body["messages"] = spelled(body["messages"])
        if binding is None:
            return body
        if not bears.tools:
            body["messages"] = with_functions(body["messages"], binding.functions)
        return binding.bind(body, shown=bears.tools)

    async def settled(self, work: Work, tokens: Tokens, outcome: Outcome, counted: Counted) -> None:
        """Meter a request that is over, and give back what it did not use. It is on the disk when this returns.

        If the disk does not take it, what it would have cost stays reserved: nobody knows whether the next start finds it.
        """
        request = work.over(tokens, outcome, counted)
        work.visitor.guest.limits.tokens.give(max(0, work.reserved_tokens - request.input_tokens - request.output_tokens))
        try:
            await self.meter.record(request)
        except OSError as error:
            log.exception("journal_failed", request=work.id)
            unspent = work.reserved.amount_micro - request.amount_micro
            self.money.settle(Reservation(work.reserved.tenant, work.reserved.purse, unspent), 0)
            raise busy("what was used cannot be recorded now; nothing was charged") from error
        self.money.settle(work.reserved, request.amount_micro)
        self.gauges.over(request)

    def dropped(self, work: Work) -> None:
        """A request to which nothing was answered: it costs nothing."""
        self.money.settle(work.reserved, 0)
        work.visitor.guest.limits.tokens.give(work.reserved_tokens)

    async def take(self, work: Work, *, avoid: frozenset[ReplicaId] = frozenset(), moving: bool = False) -> Post:
        """A replica for the request; raises `Refusal` 503 when none comes free in time."""
        target, guest = work.target, work.visitor.guest
        if not moving and not target.line.has_open(target.permits):
            await self.catalogue.note_asked(target.model.name, work.ask.tier, work.at_us)
        wish = Wish(guest.tenant, work.ask.tier, work.ask.prefix, target.permits, moving, avoid)
        post = await target.line.take(wish, wait_s=self.wait_s)
        work.replica, work.tier = post.replica.id, post.replica.tier.value
        return post

    def leave(self, post: Post, work: Work) -> None:
        """The request is no longer at that replica."""
        work.target.line.give_back(post, work.visitor.guest.tenant)

    @contextmanager
    def at(self, post: Post, work: Work) -> Iterator[None]:
        """While the request is at a replica."""
        try:
            yield
        finally:
            self.leave(post, work)

    async def _ask_some(self, work: Work) -> Whole:
        """Ask one replica after the other until one answers."""
        path = PATHS[work.ask.kind]
        tried: set[ReplicaId] = set()
        failure: Unreachable | None = None
        for _ in range(TRIES):
            post = await self.take(work, avoid=_others(work, tried))
            with self.at(post, work):
                try:
                    whole = await self.upstream.ask(post.replica, path, await self.body_at(post, work))
                except Unreachable as error:
                    failure = error
                    self.health.suspect(post)
                else:
                    failure = judged(whole, post)
                    if failure is None:
                        return whole
            tried.add(post.replica.id)
            work.moves += 1
        raise broken(str(failure)) from failure


def _binds(model: Model) -> bool:
    """Whether it is for us to see that a call which is demanded is made."""
    abilities = SERVERS[model.server].abilities
    return abilities.schema and not abilities.calls


def judged(whole: Whole, post: Post) -> Unreachable | None:
    """Why another replica should be asked, or None: this is the answer. Raises `Refusal` where the caller is at fault."""
    if whole.status == 200:
        return None
    if whole.status in {429, 500, 502, 503, 504} and not _callers_fault(whole):
        return Unreachable(f"{post.replica.id} answered {whole.status}: {_said(whole)[0][:200]}")
    raise refusal_of(whole)


def _chosen(targets: Sequence[Target]) -> Target:
    """The first that has a replica which takes requests; else the first whose replicas are not all forbidden."""
    for target in targets:
        if target.line.has_open(target.permits):
            return target
    allowed = [target for target in targets if not target.forbidden_by]
    if not allowed:
        raise elsewhere(targets[0].model.name, targets[0].forbidden_by)
    return allowed[0]


def _others(work: Work, tried: set[ReplicaId]) -> frozenset[ReplicaId]:
    """Those not to ask again; none, where there is no other."""
    fresh = any(post.open and name not in tried for name, post in work.target.line.posts.items())
    return frozenset(tried) if fresh else frozenset()


def _document(whole: Whole, work: Work) -> dict[str, Any]:
    try:
        document = orjson.loads(whole.body)
    except orjson.JSONDecodeError as error:
        raise broken(f"{work.replica} answered something that is not JSON") from error
    if not isinstance(document, dict):
        raise broken(f"{work.replica} answered something that is no object")
    return document


def _estimate(work: Work, document: dict[str, Any]) -> Tokens:
    """Where a server states no usage: four bytes a token, which nobody is the poorer for by much."""
    answered = len(orjson.dumps(document.get("choices", "")))
    return Tokens(work.ask.body_bytes // 4, 0, answered // 4 if work.ask.kind is not Kind.EMBEDDING else 0)


_TOO_LONG = ("context size", "maximum context length", "context length", "too long", "exceeds the available context")
_BAD_FORM = ("grammar", "schema", "json_schema", "response_format", "regex", "tool")


def _said(whole: Whole) -> tuple[str, str]:
    """The message and the type of a server program's error."""
    try:
        document = orjson.loads(whole.body)
    except orjson.JSONDecodeError:
        return whole.body[:300].decode("utf-8", "replace"), ""
    error = document.get("error", document) if isinstance(document, dict) else {}
    if not isinstance(error, dict):
        return str(error), ""
    return str(error.get("message") or error.get("detail") or "no reason was given"), str(error.get("type") or "")


def _callers_fault(whole: Whole) -> bool:
    """Whether a server error is in truth about the request: some programs answer 500 to a schema they cannot read."""
    message, _ = _said(whole)
    return whole.status == 500 and any(word in message.lower() for word in _BAD_FORM)


def refusal_of(whole: Whole) -> Refusal:
    """A server program's refusal in OpenAI's words."""
    message, kind = _said(whole)
    if kind == "exceed_context_size_error" or any(words in message.lower() for words in _TOO_LONG):
        return invalid(message, param="messages", code="context_length_exceeded")
    if whole.status in {401, 403}:
        return broken("the server program does not take the key that we have for it")
    status = whole.status if 400 <= whole.status < 500 else 400
    return Refusal(status, message)
