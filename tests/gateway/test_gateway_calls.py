"""Calls of tools that a caller demands: what is asked of the server program, and what becomes of what it says."""

import json
import random
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import web
from api_house import House, house
from test_gateway_requests import asked

from sublet.bench.gateway.talker import Talker
from sublet.gateway.asks import Kind, read
from sublet.gateway.calls import Binding, Turner, bound_to
from sublet.gateway.refusals import Refusal
from sublet.gateway.shown import SHOWN_BYTES, spelled, with_functions
from sublet.gateway.tools import must_call, narrowed

TREE = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/Node"}, "unit": {"enum": ["kg", "lb"]}},
    "required": ["root"],
    "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "n": {"type": "integer"}}}},
}
WEIGH: dict[str, Any] = {"type": "function", "function": {"name": "weigh", "parameters": TREE}}
STOP: dict[str, Any] = {"type": "function", "function": {"name": "stop"}}
NAMED = {"type": "function", "function": {"name": "weigh"}}
HELLO = [{"role": "user", "content": "hello"}]


def body(**more: Any) -> dict[str, Any]:
    return {"model": "llama", "messages": HELLO, "tools": [WEIGH, STOP], **more}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def chunk(text: str | None, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"index": index, "delta": {"content": text}, "logprobs": None, "finish_reason": finish}


def told(binding: Binding, texts: list[str], finish: str) -> tuple[list[dict[str, Any]], str | None]:
    """The pieces of the call that a server's pieces become, and why it ended."""
    turner = Turner(binding)
    turned = [turner.turn(chunk(text)) for text in texts] + [turner.turn(chunk(None, finish))]
    assert all(not one["delta"]["content"] for one in turned)
    return [call for one in turned for call in one["delta"].get("tool_calls", ())], turned[-1]["finish_reason"]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, []),
        ("auto", []),
        ("none", []),
        ("required", ["weigh", "stop"]),
        (NAMED, ["weigh"]),
        (allowed("required", "stop"), ["stop"]),
        (allowed("auto", "stop"), []),
    ],
)
def test_which_tools_have_to_be_called(choice: Any, names: list[str]) -> None:
    assert [tool["function"]["name"] for tool in must_call(body(tool_choice=choice))] == names


@pytest.mark.parametrize(
    "more",
    [
        {"tool_choice": "required", "tools": None},
        {"tool_choice": "required", "tools": []},
        {"tool_choice": NAMED, "tools": [STOP]},
        {"tool_choice": {"type": "function"}},
        {"tool_choice": {"type": "function", "function": {"name": "none"}}},
        {"tool_choice": {"type": ["function"]}},
        {"tool_choice": "always"},
        {"tool_choice": 3},
        {"tool_choice": ["required"]},
        {"tool_choice": allowed("required", "none")},
        {"tool_choice": allowed("never", "stop")},
        {"tool_choice": {"type": "allowed_tools"}},
    ],
)
def test_a_choice_that_cannot_be_kept_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        read(Kind.CHAT, json.dumps(body(**more)).encode())
    assert (refused.value.status, refused.value.param) == (400, "tool_choice")


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "custom", "custom": {"name": "code"}},
        {"type": "function", "function": {}},
        {"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}},
        {"type": "function", "function": {"name": "f", "parameters": []}},
    ],
)
def test_what_cannot_be_called_is_refused(tool: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        bound_to([tool], "x")
    assert (refused.value.status, refused.value.param) == (400, "tools")


def test_parameters_nested_without_end_are_refused() -> None:
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(200):
        deep = {"type": "object", "properties": {"a": deep}}
    with pytest.raises(Refusal):
        bound_to([{"type": "function", "function": {"name": "f", "parameters": deep}}], "x")


def test_only_allowed_tools_are_left() -> None:
    kept = narrowed(body(tool_choice=allowed("auto", "stop")))
    assert (kept["tools"], kept["tool_choice"]) == ([STOP], "auto")
    assert narrowed(body(tool_choice=NAMED)) == body(tool_choice=NAMED)


def test_the_schema_takes_calls_of_these_functions_and_nothing_else() -> None:
    takes = jsonschema_rs.validator_for(dict(bound_to([WEIGH, STOP], "x").schema)).is_valid
    tree = {"root": {"n": 1, "next": {"n": 2}}, "unit": "kg"}
    assert takes({"name": "weigh", "arguments": tree}) and takes({"name": "stop", "arguments": {}})
    assert not takes({"name": "weigh", "arguments": {"root": {"next": {"n": "two"}}}}), "references go to where they went"
    assert not takes({"name": "stop", "arguments": tree}) and not takes({"name": "none", "arguments": {}})
    assert not takes({"name": "weigh"}) and not takes({"name": "stop", "arguments": {}, "more": 1})
    one = jsonschema_rs.validator_for(dict(bound_to([WEIGH], "x").schema)).is_valid
    assert one({"name": "weigh", "arguments": tree}) and not one({"name": "stop", "arguments": {}})


def test_a_bound_request_keeps_what_is_its_callers_and_can_be_asked_again() -> None:
    asked_for = body(tool_choice="required", parallel_tool_calls=True, stop=["}"], temperature=0.7, max_tokens=9)
    bound = bound_to([WEIGH, STOP], "x").bind(asked_for, shown=False)
    assert set(bound) == {"model", "messages", "temperature", "max_tokens", "response_format", "seed"}
    again = bound_to([WEIGH, STOP], "x").bind(asked_for, shown=True)
    assert (again["seed"], again["tool_choice"], again["tools"]) == (bound["seed"], "none", [WEIGH, STOP])
    assert bound_to([WEIGH, STOP], "y").bind(asked_for, shown=False)["seed"] != bound["seed"]
    assert bound_to([WEIGH, STOP], "x").bind(asked_for | {"seed": 3}, shown=False)["seed"] == 3


TEXTS = [
    '{"name": "weigh", "arguments": {"root": {"a": "}{\\"\\\\"}, "b": [{}]}}',
    '\n{ "name"\n:"weigh",\n\n"arguments" :\n  {"root": {}\n} \n}\n',
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("functions", [[WEIGH], [WEIGH, STOP]])
def test_a_call_is_told_in_whatever_pieces_it_comes(text: str, functions: list[Any]) -> None:
    binding, rng = bound_to(functions, "x"), random.Random(3)
    arguments = json.loads(text)["arguments"]
    for _ in range(60):
        cuts = sorted(rng.sample(range(1, len(text)), rng.randrange(len(text) // 2)))
        pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        calls, finish = told(binding, pieces, "stop")
        assert calls[0]["id"] == binding.call_id(0) and calls[0]["type"] == "function"
        assert [call["function"].get("name") for call in calls] == ["weigh", *[None] * (len(calls) - 1)]
        assert all(call["index"] == 0 for call in calls) and all("id" not in call for call in calls[1:])
        assert json.loads("".join(call["function"]["arguments"] for call in calls)) == arguments
        assert finish == "tool_calls"


def test_the_head_of_a_call_comes_first_and_bare() -> None:
    pieces = ['{"name"', ': "weigh', '", "arg', 'uments": ', '{"root"', ": {}}", "}"]
    calls, _ = told(bound_to([WEIGH, STOP], "x"), pieces, "stop")
    assert [call["function"].get("arguments") for call in calls] == ["", '{"root"', ": {}}"]
    calls, _ = told(bound_to([WEIGH], "x"), pieces, "stop")
    assert calls[0]["function"] == {"name": "weigh", "arguments": ""}


def test_a_call_that_was_cut_off_is_told_as_far_as_it_came() -> None:
    both, one = bound_to([WEIGH, STOP], "x"), bound_to([WEIGH], "x")
    calls, finish = told(both, ['{"name": "weigh", "arguments": {"ro'], "length")
    assert (calls[0]["function"], finish) == ({"name": "weigh", "arguments": '{"ro'}, "length")
    assert told(both, ['{"name": "we'], "length") == ([], "length"), "nobody knows which it would have been"
    calls, finish = told(one, ['{"name": "we'], "length")
    assert (calls[0]["function"], finish) == ({"name": "weigh", "arguments": ""}, "length")


@pytest.mark.parametrize("texts", [["I would rather talk."], ['{"name": "weigh", "arguments": {"root"'], [], ["x" * 5_000]])
def test_a_server_that_does_not_keep_to_its_grammar_is_found_out(texts: list[str]) -> None:
    with pytest.raises(Refusal) as refused:
        told(bound_to([WEIGH, STOP], "x"), texts, "stop")
    assert refused.value.status == 502


def test_whole_answers_of_several_choices() -> None:
    binding = bound_to([WEIGH, STOP], "x")
    texts = ['{"name": "stop", "arguments": {}}', '{"name": "weigh", "arguments": {"root": {}}}']
    choices = [
        {"index": nth, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for nth, text in enumerate(texts)
    ]
    binding.turn({"choices": choices})
    messages: list[Any] = [choice["message"] for choice in choices]
    assert [message["tool_calls"][0]["function"]["name"] for message in messages] == ["stop", "weigh"]
    assert len({message["tool_calls"][0]["id"] for message in messages}) == 2
    assert all(set(message["tool_calls"][0]) == {"id", "type", "function"} for message in messages)
    assert {choice["finish_reason"] for choice in choices} == {"tool_calls"}


def test_functions_are_written_into_what_the_system_says() -> None:
    functions = bound_to([{**WEIGH, "function": {**WEIGH["function"], "strict": True}}], "x").functions
    (first, second) = with_functions(HELLO, functions)
    assert first["role"] == "system" and second == HELLO[0]
    assert '{"name":"weigh","parameters":' in first["content"] and "strict" not in first["content"]
    lines = json.dumps({"name": "weigh", "parameters": TREE}, separators=(",", ":"))
    assert len(first["content"]) - len(lines) < SHOWN_BYTES
    said: list[dict[str, Any]] = [{"role": "developer", "content": "Be brief."}, *HELLO]
    (first, _) = with_functions(said, functions)
    assert first["role"] == "developer" and first["content"].startswith("Be brief.\n\nThese functions")
    parts: list[dict[str, Any]] = [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, *HELLO]
    assert [part["type"] for part in with_functions(parts, functions)[0]["content"]] == ["text", "text"]
    assert said[0]["content"] == "Be brief." and len(parts[0]["content"]) == 1, "what the caller sent stays as it is"


def turns() -> list[dict[str, Any]]:
    calls = [
        {"id": "1", "type": "function", "function": {"name": "weigh", "arguments": '{"a": 1}'}},
        {"id": "2", "type": "function", "function": {"name": "stop", "arguments": ""}},
    ]
    return [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "3 kg"},
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "stopped"}]},
        {"role": "user", "content": "And now?"},
    ]


def test_past_calls_become_texts_whose_roles_alternate() -> None:
    given = turns()
    told_again = spelled(given)
    assert [one["role"] for one in told_again] == ["user", "assistant", "user"] and given == turns()
    assert told_again[1]["content"] == '{"name": "weigh", "arguments": {"a": 1}}\n{"name": "stop", "arguments": {}}'
    assert told_again[2]["content"] == "weigh answered: 3 kg\nstop answered: stopped\n\nAnd now?"
    odd: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": ["?"], "content": None},
        {"role": "assistant", "tool_calls": [3, {"id": 4}]},
    ]
    assert [one["role"] for one in spelled(odd)] == ["user", "assistant"]


@pytest.fixture
def home(tmp_path: Path) -> Any:
    with house(tmp_path) as made:
        yield made


def opened(home: House, server: str, talker: Talker | None = None) -> tuple[str, Talker]:
    """(key, the server): one whose template shows no tools."""
    key, talker = home.tenant(), talker or Talker()
    home.model(server=server)
    home.replica("a", home.talker("a", talker))
    home.open()
    return key, talker


def test_what_a_template_does_not_show_stands_in_the_messages(home: House) -> None:
    key, talker = opened(home, "llamacpp")
    status, found, _ = asked(home, key, body(tool_choice="required", max_tokens=8))
    assert status == 200 and "tool_calls" not in found["choices"][0]["message"], "cut off before anybody knows what is called"
    sent = talker.asked[-1]
    assert sent["response_format"]["json_schema"]["schema"]["$defs"] and "tools" not in sent
    assert sent["messages"][0]["role"] == "system" and '"weigh"' in sent["messages"][0]["content"]
    asked(home, key, {"model": "llama", "messages": turns(), "max_tokens": 2})
    assert [one["role"] for one in talker.asked[-1]["messages"]] == ["user", "assistant", "user"]
    asked(home, key, body(max_tokens=2))
    assert talker.asked[-1]["tools"] == [WEIGH, STOP] and "response_format" not in talker.asked[-1]


class Template(Talker):
    """Counts who asks for what its template makes of a conversation."""

    def __init__(self) -> None:
        super().__init__()
        self.rendered = 0

    async def _template(self, request: web.Request) -> web.Response:
        self.rendered += 1
        return await super()._template(request)


def test_only_requests_with_tools_ask_for_the_template_and_only_once(home: House) -> None:
    talker = Template()
    key, _ = opened(home, "llamacpp", talker)
    for more in ({}, {"tools": [WEIGH]}, {"tools": [WEIGH], "tool_choice": "auto"}):
        asked(home, key, {"model": "llama", "messages": HELLO, "max_tokens": 2} | more)
    assert talker.rendered == 0
    for _ in range(3):
        asked(home, key, body(tool_choice="required", max_tokens=2))
        asked(home, key, {"model": "llama", "messages": turns(), "max_tokens": 2})
    assert talker.rendered == 1


def test_a_server_of_others_gets_what_was_asked(home: House) -> None:
    key, talker = opened(home, "url")
    asked(home, key, body(messages=turns(), tool_choice=NAMED, max_tokens=2))
    sent = talker.asked[-1]
    assert (sent["messages"], sent["tool_choice"], sent["tools"]) == (turns(), NAMED, [WEIGH, STOP])
    asked(home, key, body(tool_choice=allowed("auto", "stop"), max_tokens=2))
    assert (talker.asked[-1]["tool_choice"], talker.asked[-1]["tools"]) == ("auto", [STOP])
