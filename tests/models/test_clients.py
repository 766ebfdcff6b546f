"""Clients that others made, unmodified, against real llama.cpp behind the model API: each endpoint's documented calls."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from model_house import house
from model_shop import Shop, shop

from sublet.app import tenants
from sublet.core.ids import TenantId
from sublet.core.model import Tier

openai = pytest.importorskip("openai")
pytest.importorskip("xllamacpp", reason="the embedded llama.cpp is not installed: pip install 'sublet[models]'")
ROOT = Path(__file__).parents[2]
NODE_CLIENT, LLM = ROOT / ".node-clients", ROOT / ".venv-llm" / "bin" / "llm"
HELLO: Any = [{"role": "developer", "content": "You are a helpful assistant."}, {"role": "user", "content": "Hello!"}]
ASKED: Any = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "What is a lease?"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": "Get the current weather in a given location",
            "parameters": {
                "type": "object",
                "properties": {"location": {"type": "string", "maxLength": 12}, "unit": {"enum": ["celsius", "fahrenheit"]}},
                "required": ["location", "unit"],
            },
        },
    }
]
ORDER: Any = {
    "type": "object",
    "properties": {
        "part": {"$ref": "#/$defs/Part"},
        "count": {"type": "integer", "minimum": 1, "maximum": 99},
        "discount": {"type": "number", "maximum": 1, "minimum": 0},
        "express": {"type": "boolean"},
        "to": {"type": "object", "properties": {"country": {"enum": ["DE", "NO"]}}, "required": ["country"]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 6}, "maxItems": 2},
    },
    "required": ["part", "count", "discount", "express", "to", "tags"],
    "additionalProperties": False,
    "$defs": {"Part": {"type": "object", "properties": {"kind": {"enum": ["bolt", "nut"]}}, "required": ["kind"]}},
}
"""Of a second tool: nested, with references, numbers and lists."""
SCHEMAS: Any = {"get_current_weather": TOOLS[0]["function"]["parameters"], "order": ORDER}
BOTH: Any = [*TOOLS, {"type": "function", "function": {"name": "order", "description": "Order a part", "parameters": ORDER}}]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("clients")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o711)
    (folder / "sublet.db").write_bytes(sqlite_template.read_bytes())
    with house(folder, f"sqlite:///{folder / 'sublet.db'}", slots=3) as cpu:
        (folder / "data").chmod(0o711)
        with cpu.database.write() as tx:
            tenants.add(tx, tenant=TenantId("ada"), name="Ada", currency="USD", limit_micro=None, now_us=cpu.now)
        cpu.add(aliases=("gpt-4o-mini",))
        cpu.add("vectors", options={"embeddings": "mean"})
        cpu.serve(tier=Tier.FLEX)
        cpu.serve(model="vectors", tier=Tier.FLEX)
        cpu.ready(2)
        with shop(cpu) as made:
            yield made


def test_the_python_client(door: Shop) -> None:
    client = door.client()
    first = client.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, max_completion_tokens=8, n=2, seed=7, temperature=0.8, service_tier="flex"
    )
    again = client.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, max_completion_tokens=8, n=2, seed=7, temperature=0.8, service_tier="flex"
    )
    assert [one.index for one in first.choices] == [0, 1] and first.service_tier == "flex" and first.model == "tiny"
    assert [one.message.content for one in first.choices] == [one.message.content for one in again.choices], "as its seed says"
    assert first.usage.completion_tokens <= 16
    greedy: dict[str, Any] = {"model": "tiny", "messages": ASKED, "temperature": 0}
    whole = client.chat.completions.create(max_tokens=12, logprobs=True, top_logprobs=2, **greedy)
    said = whole.choices[0].message.content
    tokens = whole.choices[0].logprobs.content
    assert "".join(one.token for one in tokens) == said and all(len(one.top_logprobs) == 2 for one in tokens)
    stop = said[3:8]
    cut = client.chat.completions.create(max_tokens=12, stop=[stop, "\n\n\n"], **greedy).choices[0]
    assert (cut.message.content, cut.finish_reason) == (said[: said.index(stop)], "stop")
    stream = client.chat.completions.create(max_tokens=12, stream=True, stream_options={"include_usage": True}, **greedy)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == said
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens and chunks[-1].choices == []
    assert all(chunk.usage is None for chunk in chunks[:-1])
    told = client.completions.create(model="tiny", prompt="Say this is a test", max_tokens=7, temperature=0, logprobs=1)
    assert told.object == "text_completion" and told.usage.completion_tokens == 7 and told.choices[0].logprobs is not None
    several = client.embeddings.create(model="vectors", input=["The food was delicious", "and the waiter"])
    assert [one.index for one in several.data] == [0, 1] and len(several.data[0].embedding) == len(
        several.data[1].embedding
    ) > 8
    assert {one.id for one in client.models.list()} == {"tiny", "vectors"}


def test_tools_and_schemas_of_the_python_client(door: Shop) -> None:
    client = door.client()
    asked: dict[str, Any] = {"model": "tiny", "tools": TOOLS, "tool_choice": "auto", "temperature": 0, "max_tokens": 12}
    answered = client.chat.completions.create(messages=ASKED, **asked).choices[0]
    assert answered.message.content and not answered.message.tool_calls, "whether a tool is called is the model's to say"
    call = {"id": "call_1", "type": "function", "function": {"name": "get_current_weather", "arguments": "{}"}}
    talk = [*ASKED, {"role": "assistant", "content": "", "tool_calls": [call]}]
    talk.append({"role": "tool", "tool_call_id": "call_1", "content": "22 degrees"})
    streamed = list(client.chat.completions.create(messages=talk, stream=True, **asked))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
    schema = {"type": "object", "properties": {"hours": {"type": "integer"}}, "required": ["hours"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "lease", "schema": schema}}
    answer = client.chat.completions.create(model="tiny", messages=ASKED, response_format=form, temperature=0, max_tokens=60)
    assert isinstance(json.loads(answer.choices[0].message.content)["hours"], int)


@pytest.mark.parametrize("choice", ["required", "order", "get_current_weather"])
def test_a_call_that_is_demanded_is_made(door: Shop, choice: str) -> None:
    """Whole and streamed, by a model that has learnt nothing of tools; then it says something about what the call found."""
    client = door.client()
    named = {"type": "function", "function": {"name": choice}}
    asked: dict[str, Any] = {"model": "tiny", "messages": ASKED, "tools": BOTH, "temperature": 0, "max_tokens": 400}
    asked["tool_choice"] = choice if choice == "required" else named
    whole = client.chat.completions.create(**asked)
    (answer,) = whole.choices
    (call,) = answer.message.tool_calls
    assert (answer.finish_reason, answer.message.content, call.type) == ("tool_calls", None, "function")
    assert choice in {"required", call.function.name}
    jsonschema_rs.validate(SCHEMAS[call.function.name], json.loads(call.function.arguments))
    with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
        pieces = [event for event in stream if event.type == "tool_calls.function.arguments.delta"]
        final = stream.get_final_completion()
    (told,) = final.choices[0].message.tool_calls
    assert (told.function.name, told.function.arguments) == (call.function.name, call.function.arguments)
    assert final.choices[0].finish_reason == "tool_calls" and len(pieces) > 2 and told.id != call.id
    assert (final.usage.prompt_tokens, final.usage.completion_tokens) == (
        whole.usage.prompt_tokens,
        whole.usage.completion_tokens,
    )
    short = client.chat.completions.create(
        **asked | {"max_tokens": 40, "tool_choice": named if choice != "required" else choice}
    )
    assert short.choices[0].finish_reason == "length"
    for part in short.choices[0].message.tool_calls or ():
        assert call.function.arguments.startswith(part.function.arguments)
    talk = [*ASKED, answer.message, {"role": "tool", "tool_call_id": call.id, "content": "22 degrees"}]
    after = client.chat.completions.create(model="tiny", messages=talk, tools=BOTH, temperature=0, max_tokens=12)
    assert after.choices[0].message.content
    unlike = [*ASKED, {"role": "assistant", "content": ""}, {"role": "tool", "tool_call_id": call.id, "content": "22 degrees"}]
    other = client.chat.completions.create(model="tiny", messages=unlike, tools=BOTH, temperature=0, max_tokens=12)
    assert after.usage.prompt_tokens > other.usage.prompt_tokens + 8, (
        "its template forgets calls, so they are written out for it"
    )


def test_a_demand_that_cannot_be_met_is_refused(door: Shop) -> None:
    client = door.client()
    for more in ({"tool_choice": "required"}, {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}):
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(model="tiny", messages=ASKED, **more)
        assert refused.value.param == "tool_choice"


def test_the_node_client(door: Shop) -> None:
    node = shutil.which("node")
    if node is None or not (NODE_CLIENT / "installed.json").exists():
        pytest.skip("the Node client is not installed: scripts/node-clients, which needs node and npm")
    environment = {
        "PATH": os.environ["PATH"],
        "NODE_PATH": str(NODE_CLIENT / "node_modules"),
        "OPENAI_BASE_URL": door.url,
        "OPENAI_API_KEY": door.key(),
    }
    script = ROOT / "tests" / "clients" / "openai_calls.cjs"
    done = subprocess.run([node, str(script)], env=environment, capture_output=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert {name: one["failed"] for name, one in found.items() if "failed" in one} == {}
    seen = {name: one["good"] for name, one in found.items()}
    chat = seen["chat"]
    assert chat["object"] == "chat.completion" and chat["usage"]["completion_tokens"] <= 8
    assert seen["chat_stream"]["text"] == chat["choices"][0]["message"]["content"]
    assert seen["chat_stream"]["usage"]["completion_tokens"] == chat["usage"]["completion_tokens"]
    for found, pieces in zip(seen["tools"]["whole"], seen["tools"]["pieces"], strict=True):
        (call,) = found["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "get_weather" and found["choices"][0]["finish_reason"] == "tool_calls"
        jsonschema_rs.validate(seen["tools"]["parameters"], json.loads(call["function"]["arguments"]))
        assert (pieces["names"], pieces["arguments"]) == (["get_weather"], call["function"]["arguments"])
    assert seen["tools"]["after"]["choices"][0]["message"]["content"]
    assert isinstance(seen["json_schema"]["choices"][0]["message"]["parsed"]["hours"], int)
    assert seen["completions"]["usage"]["completion_tokens"] == 7
    assert len(seen["embeddings"]["data"][0]["embedding"]) > 8
    assert {"tiny", "vectors"} <= set(seen["models"]["list"]) and seen["models"]["one"]["id"] == "tiny"
    files = seen["files"]
    assert files["content"] == "{}\n" and files["file"]["id"] in files["listed"] and files["gone"]["deleted"]
    batch = seen["batches"]["batch"]
    assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 2)
    assert {line["custom_id"] for line in seen["batches"]["lines"]} == {"request-1", "request-2"}
    tuned = seen["fine_tuning"]
    assert (tuned["made"]["status"], tuned["job"]["status"]) == ("validating_files", "succeeded")
    assert (
        len(tuned["events"]) >= 4 and tuned["checkpoints"][0]["fine_tuned_model_checkpoint"] == tuned["job"]["fine_tuned_model"]
    )
    unknown, key = seen["errors"]["unknown"], seen["errors"]["key"]
    assert unknown == {"name": "NotFoundError", "status": 404, "code": "model_not_found", "param": "model"}
    assert key == {"name": "AuthenticationError", "status": 401, "code": "invalid_api_key"}


def test_a_tool_of_someone_else_by_its_base_url(door: Shop, tmp_path: Path) -> None:
    """`llm` knows this model's alias by its own list, and the address by the variable that all of OpenAI's clients read."""
    if not LLM.exists():
        pytest.skip("llm is not installed: scripts/llm-venv")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LLM_USER_PATH": str(tmp_path / "llm"),
        "OPENAI_BASE_URL": door.url,
        "OPENAI_API_KEY": door.key(),
    }

    def llm(*words: str) -> str:
        done = subprocess.run([str(LLM), *words], env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    options = ("-m", "gpt-4o-mini", "-o", "temperature", "0", "-o", "max_tokens", "12")
    streamed, whole = llm(*options, "What is a lease?"), llm(*options, "--no-stream", "What is a lease?")
    assert streamed.strip() == whole.strip() != ""
    schema = '{"type": "object", "properties": {"hours": {"type": "integer"}}, "required": ["hours"]}'
    assert isinstance(json.loads(llm(*options[:-1], "60", "--schema", schema, "How many?"))["hours"], int)
    (logged,) = json.loads(llm("logs", "list", "-n", "1", "--json"))
    assert logged["model"] == "gpt-4o-mini" and logged["output_tokens"] > 0
