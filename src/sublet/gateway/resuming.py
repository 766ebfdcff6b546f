"""How a stream that ended early goes on at another replica: with which request, and what of its answer was told before."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sublet.gateway.asks import PATHS, Kind
from sublet.gateway.dialects.dialect import Dialect
from sublet.gateway.refusals import broken
from sublet.gateway.routing import Post
from sublet.gateway.said import CONTENT, Hole, Resume, Said, fill, from_start, from_tokens, settled_ids
from sublet.gateway.upstream import Upstream
from sublet.gateway.works import Work

_CHATS_OWN = (
    "messages", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format", "modalities",
    "max_completion_tokens", "logprobs", "top_logprobs", "reasoning_effort", "reasoning_format", "chat_template_kwargs",
    "add_generation_prompt",
)  # fmt: skip
_BACK_MAX = 16
_HOLES_AT_ONCE = 16
Plan = tuple[Resume, str, dict[str, Any]]  # what was told, the path below the base URL, the body


async def resumption(  # noqa: PLR0917 (what it stands on comes first)
    upstream: Upstream,
    dialect: Dialect,
    work: Work,
    said: Said,
    memory: Mapping[str, Any],
    post: Post,
    *,
    body: dict[str, Any],
    said_tokens: int,
) -> Plan:
    """The request to make at a replica; raises `Refusal` where the answer cannot go on, `Unreachable` if the replica fails."""
    told = said.told((0, CONTENT, 0))
    if _goes_on(work, said) and told:
        prompt = await dialect.prompt(upstream, post.replica, replace(work.ask, body=body), memory)
        if prompt is not None:
            resume = await _after_tokens(upstream, dialect, work, said, post)
            by_text = all(isinstance(part, str) for part in prompt)
            if resume.ids and (is_exact(work) or not resume.skips or not by_text):
                return resume, PATHS[Kind.COMPLETION], _continued(work, body, [*prompt, *resume.ids], resume.before)
            if by_text and not is_exact(work):
                resume = Resume(knows_ids=False, before=said_tokens)
                return resume, PATHS[Kind.COMPLETION], _continued(work, body, "".join(prompt) + told, said_tokens)
    if said.text and not is_exact(work) and body.get("seed") is None:
        raise broken("the replica ended, and an answer of this form that was drawn by chance cannot go on elsewhere")
    return from_start(said), PATHS[work.ask.kind], body


def is_exact(work: Work) -> bool:
    """Whether the same request gets the same answer everywhere: nothing is drawn by chance."""
    body = work.ask.body
    return body.get("temperature") == 0 or body.get("top_k") == 1


def limit_of(work: Work) -> int | None:
    """The most tokens of each answer; None: only the context bounds it."""
    return work.ask.output_max if work.ask.output_max is not None else work.bounds.limit


def _goes_on(work: Work, said: Said) -> bool:
    """Whether an answer can be continued from its tokens: one text that nothing else shapes."""
    body = work.ask.body
    form = body.get("response_format")
    bound = bool(body.get("tools") or body.get("functions") or body.get("grammar") or body.get("json_schema"))
    guided = any(name.startswith("guided_") or name == "structured_outputs" for name in body)
    free = form is None or form.get("type") == "text"
    return said.plain and work.ask.answers == 1 and free and not bound and not guided and not body.get("echo")


async def _after_tokens(upstream: Upstream, dialect: Dialect, work: Work, said: Said, post: Post) -> Resume:
    """After the tokens whose text was told. Where text may be held back (a stop word), the tokens' text is asked for."""
    await _fill_holes(upstream, dialect, said, post)
    ids, told_bytes = settled_ids(said)
    if not ids or not work.ask.body.get("stop"):
        return from_tokens(said, ids, told_bytes)
    told = said.told((0, CONTENT, 0))
    for back in range(min(_BACK_MAX, len(ids)) + 1):
        kept = ids[: len(ids) - back]
        text = await dialect.text_of(upstream, post.replica, kept) if kept else ""
        if text is not None and told.startswith(text):
            return from_tokens(said, kept, len(text.encode("utf-8", "surrogatepass")))
    return from_tokens(said, (), 0)


async def _fill_holes(upstream: Upstream, dialect: Dialect, said: Said, post: Post) -> None:
    """Ask for the tokens of pieces that ended inside a character; they are taken if they fit what is known of them."""
    holes = [one for one in said.ids if isinstance(one, Hole)]
    for start in range(0, len(holes), _HOLES_AT_ONCE):
        some = holes[start : start + _HOLES_AT_ONCE]
        answers = await asyncio.gather(*(dialect.tokens_of(upstream, post.replica, hole.text) for hole in some))
        for hole, ids in zip(some, answers, strict=True):
            if ids is None or len(ids) != hole.tokens or ids[-1] != hole.last:
                return
            fill(said, hole, ids)


def _continued(work: Work, body: dict[str, Any], prompt: Any, before: int) -> dict[str, Any]:
    """The request for the rest of an answer."""
    rest = {name: value for name, value in body.items() if name not in _CHATS_OWN}
    rest["prompt"] = prompt
    limit = limit_of(work)
    if limit is not None:
        rest["max_tokens"] = max(1, limit - before)
    given = work.ask.body
    if work.ask.kind is Kind.CHAT and given.get("logprobs"):
        rest["logprobs"] = max(1, int(given.get("top_logprobs") or 0))
    elif work.ask.kind is Kind.COMPLETION and given.get("logprobs") is not None:
        rest["logprobs"] = given["logprobs"]
    return rest
