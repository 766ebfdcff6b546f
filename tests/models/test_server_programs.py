"""Server programs as values: command lines, what they may read, and what their output means."""

import os
import re
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sublet.app.replicas import workload
from sublet.core.ids import ModelName, PoolId, ReplicaId, TenantId
from sublet.core.model import ON_ITS_NODE, Model, Replica, Serving, Tier
from sublet.core.server_program import Address, Hardware, Launch, Load
from sublet.core.terms import Pool
from sublet.gateway.servers import SERVERS, llama_server, vllm

AT = Address("127.0.0.1", 18_555, "very-secret")
MODEL = Model(ModelName("m"), "llamacpp", "/models/m.gguf", 0, path="/models/m.gguf", context_length=1_024)
H100 = Hardware("NVIDIA H100 80GB HBM3", 2)
CPU = Hardware("cpu", 3, 3)
RUNNING = [server for server in SERVERS.values() if server.runs]


def launched(name: str, model: Model = MODEL, hardware: Hardware = CPU) -> Launch:
    make = SERVERS[name].launch
    assert make is not None
    return make(model, hardware, AT)


def value_of(launch: Launch, flag: str) -> str:
    return launch.argv[launch.argv.index(flag) + 1]


@pytest.mark.parametrize("server", RUNNING, ids=lambda server: server.name)
@pytest.mark.parametrize("hardware", [CPU, H100], ids=lambda hardware: hardware.gpu_model)
def test_no_secret_is_in_a_command_line_and_each_choice_has_its_reason(server: Any, hardware: Hardware) -> None:
    for make in (server.launch, server.plain):
        launch = make(MODEL, hardware, AT)
        assert AT.secret not in " ".join(launch.argv) and AT.secret in launch.env.values()
        assert (
            MODEL.path in launch.reads and value_of(launch, "--port") == "18555" and value_of(launch, "--host") == "127.0.0.1"
        )
        assert launch.slots >= 1
    assert server.launch(MODEL, hardware, AT).why and not server.plain(MODEL, hardware, AT).why
    assert server.health.startswith("/") and server.metrics.startswith("/") and server.formats


@pytest.mark.parametrize("server", SERVERS.values(), ids=lambda server: server.name)
def test_every_option_is_used(server: Any) -> None:
    text = Path(llama_server.__file__).with_name(f"{server.name}.py").read_text()
    for option in server.options:
        assert option == "model" or re.search(rf'options(\.get\(|\[)"{option}"', text), option


def test_llama_cpp_is_told_how_to_pool_and_which_template_to_use() -> None:
    plain = launched("llamacpp", replace(MODEL, options={"embeddings": True}))
    assert "--embeddings" in plain.argv and "--pooling" not in plain.argv
    told = launched("llamacpp", replace(MODEL, options={"embeddings": "mean", "template": "/models/t.jinja"}))
    assert value_of(told, "--pooling") == "mean" and value_of(told, "--chat-template-file") == "/models/t.jinja"
    assert "/models/t.jinja" in told.reads


def test_llama_cpp_takes_the_cores_of_its_lease() -> None:
    launch = launched("llamacpp")
    assert value_of(launch, "--threads") == "3" and value_of(launch, "--ctx-size") == "4096" and launch.slots == 4
    asked = llama_server.parsed(list(launch.argv[launch.argv.index("--model") :]))
    assert (asked.parallel, asked.batch_size, asked.metrics) == (4, 512, True)
    own = replace(
        MODEL, options={"threads": 7, "slots": 2, "context": 256, "program": "/opt/llama/bin/llama-server", "lora": "/a.gguf"}
    )
    launch = launched("llamacpp", own)
    assert launch.argv[0] == "/opt/llama/bin/llama-server" and value_of(launch, "--threads") == "7"
    assert value_of(launch, "--ctx-size") == "512" and set(launch.reads) == {"/models/m.gguf", "/a.gguf", launch.argv[0]}
    assert value_of(launched("llamacpp", hardware=H100), "--n-gpu-layers") == "999"


@pytest.mark.parametrize(
    ("said", "row"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA L4", "l4"),
        ("nvidia-a10g", "a10"),
        ("AMD Instinct MI300X", "mi300x"),
        ("B200", "b200"),
    ],
)
def test_a_gpu_is_known_however_it_is_written(said: str, row: str) -> None:
    assert vllm.tuning(Hardware(said)) is vllm.TUNED[row]


def test_vllm_is_tuned_by_the_table() -> None:
    launch = launched("vllm", replace(MODEL, options={"speculate": 4}), H100)
    assert launch.argv[:3] == ("vllm", "serve", "/models/m.gguf") and "--enable-prefix-caching" in launch.argv
    assert value_of(launch, "--max-num-seqs") == "1024" and value_of(launch, "--kv-cache-dtype") == "fp8"
    assert value_of(launch, "--api-server-count") == "4" and value_of(launch, "--gpu-memory-utilization") == "0.92"
    assert value_of(launch, "--tensor-parallel-size") == "2" and '"num_speculative_tokens": 4' in value_of(
        launch, "--speculative-config"
    )
    launch = launched(
        "vllm", replace(MODEL, options={"kv_cache": "auto", "quantize": "fp8", "api_servers": 1, "slots": 8}), H100
    )
    assert value_of(launch, "--kv-cache-dtype") == "auto" and value_of(launch, "--quantization") == "fp8"
    assert "--api-server-count" not in launch.argv and value_of(launch, "--max-num-seqs") == "8"
    calls = launched("vllm", replace(MODEL, options={"tool_parser": "llama3_json"}), H100)
    assert "--enable-auto-tool-choice" in calls.argv and value_of(calls, "--tool-call-parser") == "llama3_json"
    shared = replace(MODEL, options={"kv_cache_gb": 25})
    plain = SERVERS["vllm"].plain
    assert plain is not None
    for launch in (launched("vllm", shared, H100), plain(shared, H100, AT)):  # both leave room for others, alike
        assert value_of(launch, "--kv-cache-memory-bytes") == "25000000000"
        assert launch.argv.count("--gpu-memory-utilization") == 1 and value_of(launch, "--gpu-memory-utilization") == "0.1"
    assert vllm.tuning(Hardware("Tesla V100")) is vllm.OTHER
    assert "--enforce-eager" in launched("vllm").argv and "--speculative-config" not in launched("vllm").argv


def test_figures_and_progress_are_read_from_what_servers_print() -> None:
    llama, v = SERVERS["llamacpp"], SERVERS["vllm"]
    assert llama.load is not None and v.load is not None
    text = "# TYPE x gauge\nllamacpp:requests_processing 3\nllamacpp:requests_deferred 2\n"
    assert llama.load(text) == Load(3, 2)
    text = 'vllm:num_requests_running{engine="0",model_name="m"} 5.0\nvllm:num_requests_waiting{engine="0"} 1.0\n'
    assert v.load(text) == Load(5, 1) and v.load("") == Load(0, 0)
    assert llama.progress("") == "" and llama.progress("srv init: loading model\n") == "loads the weights: 0 %"
    assert llama.progress("srv init: loading model\n" + "." * 42) == "loads the weights: 42 %"
    assert v.progress("Loading safetensors checkpoint shards:  50% Completed | 2/4") == "loads the weights: 50 %"
    assert v.progress("...\nCapturing CUDA graphs: 10%") == "captures CUDA graphs" and v.progress("") == ""


@pytest.mark.timeout(400)
def test_real_vllm_serves_with_our_options(tmp_path: Path) -> None:
    """Opt-in: SUBLET_TEST_VLLM names a vllm command, SUBLET_TEST_VLLM_MODEL a folder with a small model."""
    program, folder = os.environ.get("SUBLET_TEST_VLLM"), os.environ.get("SUBLET_TEST_VLLM_MODEL")
    if not program or not folder:
        pytest.skip("SUBLET_TEST_VLLM and SUBLET_TEST_VLLM_MODEL name no vllm and no model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = replace(AT, port=free.getsockname()[1])
    model = Model(ModelName("m"), "vllm", folder, 0, path=folder, context_length=512, options={"program": program})
    server = SERVERS["vllm"]
    assert server.launch is not None and server.load is not None
    launch = server.launch(model, Hardware("cpu", 2, 2), at)
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(launch.argv, env={**os.environ, **launch.env}, stdout=log, stderr=log)
    root = at.url.removesuffix("/v1")
    client = httpx.Client(headers={"Authorization": f"Bearer {at.secret}"}, timeout=120, trust_env=False)
    try:
        give_up = time.monotonic() + 300
        while True:
            assert running.poll() is None and time.monotonic() < give_up, (tmp_path / "log").read_text()[-2_000:]
            try:
                if client.get(root + server.health).is_success:
                    break
            except httpx.TransportError:
                time.sleep(1)
        body = {"model": "m", "prompt": [1, 5, 9], "max_tokens": 8, "temperature": 0}
        assert client.post(f"{at.url}/completions", json=body).json()["usage"]["completion_tokens"] >= 1
        assert server.load(client.get(root + server.metrics).text) == Load(0, 0)
        assert "tokens" in client.post(root + server.abilities.tokenize, json={"model": "m", "prompt": "hi"}).json()
        assert httpx.post(f"{at.url}/completions", json=body, trust_env=False).status_code == 401
    finally:
        running.terminate()
        running.wait(30)


def test_a_server_on_a_cluster_s_node_is_asked_for_at_that_node_s_address() -> None:
    away = Address(ON_ITS_NODE, 18_555, "very-secret")
    launch = SERVERS["llamacpp"].launch
    assert launch is not None
    assert value_of(launch(MODEL, H100, away), "--host") == "0.0.0.0", "whoever asks comes from outside"
    serving, pool = Serving(MODEL.name, Tier.FLEX, TenantId("models"), 1, 1), Pool(PoolId("h100"), "h100")
    work = workload(SERVERS["llamacpp"], MODEL, serving, pool, away, programs="/opt/our programs/bin")
    assert work.run.startswith("export PATH='/opt/our programs/bin':\"$PATH\"; exec python -P -m ")
    assert "http://127.0.0.1:18555/health" in work.run, "its supervisor is beside it"
    assert work.endpoint is not None
    waiting = Replica(ReplicaId("l.1"), MODEL.name, Tier.FLEX, work.endpoint.url, "", "local", 0)
    assert not waiting.is_addressed
    assert waiting.at("node7").url == "http://node7:18555/v1" and waiting.at("fd00::7").url == "http://[fd00::7]:18555/v1"
