"""vLLM: the server for GPUs. What is tuned is a table by GPU model, each choice with its reason; the rest are vLLM's defaults.

Prefix caching is always on: chats and agents send the same beginning again and again, and cached tokens have a price of their
own. Guessing ahead (speculative decoding) by n-grams needs no second model; it pays where answers repeat their prompt (code,
extraction) and while a GPU has arithmetic to spare, so it is chosen by `--option speculate=N`, not for everybody.
The CPU variant is for tests of this file (`tests/models/test_vllm.py`): the wheel for it is nobody's official one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sublet.core.model import Model
from sublet.core.server_program import Abilities, Address, Hardware, Launch, Load, ServerProgram, figure


@dataclass(frozen=True, slots=True)
class Tuning:
    """Start options for one GPU model, and why."""

    slots: int  # sequences at once
    batched_tokens: int  # in one step
    memory_share: float
    kv_cache: str  # its number format
    why: str
    api_servers: int = 1  # processes that speak HTTP and turn tokens into text


TUNED: Mapping[str, Tuning] = {
    "b200": Tuning(1_024, 16_384, 0.92, "fp8", "180 GB at 8 TB/s: room for many sequences; fp8 keys and values are native", 4),
    "h200": Tuning(1_024, 16_384, 0.92, "fp8", "141 GB at 4.8 TB/s: memory is ample, so more sequences share each pass", 4),
    "h100": Tuning(1_024, 8_192, 0.92, "fp8", "80 GB at 3.3 TB/s: fp8 keys and values double the sequences that fit", 4),
    "a100": Tuning(256, 2_048, 0.92, "auto", "no fp8 arithmetic; larger steps were slower for vLLM's makers", 2),
    "l40s": Tuning(128, 4_096, 0.90, "fp8", "48 GB at 0.9 TB/s: space is short before arithmetic is"),
    "l4": Tuning(64, 2_048, 0.90, "fp8", "24 GB at 0.3 TB/s: small steps keep the time to the first token bounded"),
    "a10": Tuning(64, 2_048, 0.90, "auto", "24 GB, no fp8 arithmetic"),
    "mi300x": Tuning(1_024, 16_384, 0.92, "auto", "192 GB at 5.3 TB/s; fp8 keys and values depend on the build", 4),
}
"""By the first of these names that stands in the pool's GPU model, longest first.

The H200's row is measured (`benchmarks/results/2026-11-26-model-h200.json`: 1.33 times vLLM's own options, 1.25 without fp8
keys and values); the others follow from it by memory and bandwidth until somebody measures them.
"""
OTHER = Tuning(128, 4_096, 0.90, "auto", "a GPU that we have no table for: vLLM's own caution")
_CPU = Tuning(8, 1_024, 0.0, "auto", "CPU: for tests")


def tuning(hardware: Hardware) -> Tuning:
    """The row for a GPU model, however a driver or a person writes it."""
    if hardware.is_cpu:
        return _CPU
    said = re.sub(r"[^a-z0-9]", "", hardware.gpu_model.lower())
    return next((TUNED[name] for name in sorted(TUNED, key=len, reverse=True) if name in said), OTHER)


def _always(model: Model, address: Address) -> list[str]:
    program = str(model.options.get("program", "vllm"))
    words = [program, "serve", model.path or model.source.removeprefix("hub:"), "--served-model-name", model.name]
    words += ["--host", address.listens_on, "--port", str(address.port)]
    if model.context_length:
        words += ["--max-model-len", str(model.context_length)]
    if room := float(model.options.get("kv_cache_gb", 0)):  # then nothing is measured at the start, and others may be there
        words += ["--kv-cache-memory-bytes", str(int(room * 1e9)), "--gpu-memory-utilization", "0.1"]
    if parser := model.options.get("tool_parser"):
        words += ["--enable-auto-tool-choice", "--tool-call-parser", str(parser)]
    if lora := model.options.get("lora"):
        words += ["--enable-lora", "--lora-modules", f"{model.name}-lora={lora}"]
    return words


def _env(hardware: Hardware, address: Address) -> dict[str, str]:
    env = {"VLLM_API_KEY": address.secret, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    on_cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return env | on_cpu if hardware.is_cpu else env


def _reads(model: Model) -> tuple[str, ...]:
    program = str(model.options.get("program", ""))
    folder = program.rpartition("/bin/")[0]  # an environment of its own, with its packages
    return tuple(one for one in (model.path, folder or program, str(model.options.get("lora", ""))) if one.startswith("/"))


def _launch(model: Model, hardware: Hardware, address: Address) -> Launch:
    """Our start options."""
    chosen = tuning(hardware)
    slots = int(model.options.get("slots", chosen.slots))
    words = [*_always(model, address), "--max-num-seqs", str(slots), "--max-num-batched-tokens", str(chosen.batched_tokens)]
    words += ["--enable-prefix-caching"]
    why = [chosen.why, "--enable-prefix-caching: what a prompt shares with an earlier one is not computed again"]
    if hardware.is_cpu:
        words += ["--dtype", str(model.options.get("dtype", "float32")), "--enforce-eager"]
    else:
        kv_cache = str(model.options.get("kv_cache", chosen.kv_cache))
        room = ["--kv-cache-dtype", kv_cache]
        if "kv_cache_gb" not in model.options:
            room += ["--gpu-memory-utilization", f"{chosen.memory_share:g}"]
        words += room
        words += ["--dtype", str(model.options["dtype"])] if "dtype" in model.options else []
        words += ["--quantization", str(model.options["quantize"])] if "quantize" in model.options else []
        why.append(f"{' '.join(room)}: the GPU is the lease's")
    if (api_servers := int(model.options.get("api_servers", chosen.api_servers))) > 1:
        words += ["--api-server-count", str(api_servers)]
        why.append(f"--api-server-count {api_servers}: one process falls behind this GPU in turning tokens into text")
    if hardware.gpus > 1:
        words += ["--tensor-parallel-size", str(hardware.gpus)]
        why.append("--tensor-parallel-size: one replica over all GPUs of its lease")
    if ahead := int(model.options.get("speculate", 0)):
        guess = {"method": "ngram", "num_speculative_tokens": ahead, "prompt_lookup_max": 4}
        words += ["--speculative-config", json.dumps(guess)]
        why.append(f"--speculative-config: {ahead} tokens ahead, from n-grams of the prompt")
    return Launch(tuple(words), _env(hardware, address), _reads(model), slots, tuple(why))


def _plain(model: Model, hardware: Hardware, address: Address) -> Launch:
    """As vLLM's makers start it."""
    words = _always(model, address)
    if hardware.is_cpu:
        words += ["--dtype", str(model.options.get("dtype", "float32")), "--enforce-eager"]
    if hardware.gpus > 1:
        words += ["--tensor-parallel-size", str(hardware.gpus)]
    return Launch(tuple(words), _env(hardware, address), _reads(model), 256)


def _load(metrics: str) -> Load:
    return Load(figure(metrics, ["vllm:num_requests_running"]), figure(metrics, ["vllm:num_requests_waiting"]))


_STEPS = (
    ("Application startup complete", "answers"),
    ("Capturing CUDA graph", "captures CUDA graphs"),
    ("init engine", "measures its memory"),
    ("Loading weights took", "compiles"),
)


def _progress(printed: str) -> str:
    for sign, said in _STEPS:
        if sign in printed:
            return said
    shares = re.findall(r"Loading safetensors checkpoint shards:\s+(\d+)%", printed)
    return f"loads the weights: {shares[-1]} %" if shares else ("starts" if printed else "")


VLLM = ServerProgram(
    name="vllm",
    abilities=Abilities(
        tokenize="/tokenize",
        template="/tokenize",
        continues=True,
        embeddings=True,
        lora=True,
        schema=True,
        calls=True,
        cached_tokens=True,
    ),
    options={
        "slots": "sequences at once; else by the table of GPU models",
        "speculate": "tokens guessed ahead from n-grams of the prompt; else none",
        "dtype": "number format of the weights; else as they are stored",
        "quantize": "number format into which the weights are turned at the start, e.g. fp8: faster, and other answers",
        "kv_cache": "number format of keys and values; else by the table of GPU models",
        "kv_cache_gb": "gigabytes for keys and values, where others use the GPU too; else all that is left of it",
        "api_servers": "processes that speak HTTP; else by the table of GPU models",
        "tool_parser": "how the model writes calls of tools, e.g. llama3_json or hermes; without, it calls only those it must",
        "lora": "a folder with an adapter",
        "program": "the vllm command, e.g. in an environment of its own",
    },
    formats=("safetensors",),
    health="/health",
    metrics="/metrics",
    launch=_launch,
    plain=_plain,
    load=_load,
    progress=_progress,
)
