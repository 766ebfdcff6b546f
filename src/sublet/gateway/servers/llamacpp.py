"""llama.cpp's own server: on CPUs and Macs, and the default where nothing else is installed.

It runs embedded, from the wheel `xllamacpp` (`llama_server.py` takes the flags that are used here), or as the program
`llama-server` that the option `program` names. The flags are llama.cpp's; the reasons for their values stand beside them.
"""

import re

from sublet.core.model import Model
from sublet.core.server_program import Abilities, Address, Hardware, Launch, Load, ServerProgram, figure

_SLOTS_CPU, _SLOTS_GPU = 4, 16
_CONTEXT = 4_096  # tokens of each slot, unless the model or its options say otherwise
_PYTHON = "python"  # the one on the run's PATH: the control plane's own
_EMBEDDED = (_PYTHON, "-P", "-m", "sublet.gateway.servers.llama_server")
_OFFLOAD_ALL = 999  # layers: more than any model has


def _program(model: Model) -> tuple[str, ...]:
    named = str(model.options.get("program", ""))
    return (named,) if named else _EMBEDDED


def _always(model: Model, address: Address) -> list[str]:
    """What is no choice: the model, the address, and the figures that we read."""
    words = [
        "--model",
        model.path,
        "--alias",
        model.name,
        "--host",
        address.listens_on,
        "--port",
        str(address.port),
        "--metrics",
    ]
    embeds, template = model.options.get("embeddings"), str(model.options.get("template", ""))
    if embeds:
        words += ["--embeddings", *(["--pooling", str(embeds)] if isinstance(embeds, str) else [])]
    return [*words, "--chat-template-file", template] if template else words


def _finished(model: Model, address: Address, words: list[str], slots: int, why: tuple[str, ...] = ()) -> Launch:
    program = str(model.options.get("program", ""))
    lora = str(model.options.get("lora", ""))
    template = str(model.options.get("template", ""))
    reads = tuple(one for one in (model.path, lora, template, program if "/" in program else "") if one)
    adapter = ["--lora", lora] if lora else []
    argv = (*_program(model), *_always(model, address), *adapter, *words)
    return Launch(argv, {"LLAMA_API_KEY": address.secret}, reads, slots, why)


def _launch(model: Model, hardware: Hardware, address: Address) -> Launch:
    """Our start options."""
    options = model.options
    threads = int(options.get("threads", max(hardware.cores, 1)))
    slots = int(options.get("slots", _SLOTS_CPU if hardware.is_cpu else _SLOTS_GPU))
    context = int(options.get("context", model.context_length or _CONTEXT))
    batch = int(options.get("batch", 512 if hardware.is_cpu else 2_048))
    chosen = [
        (
            ["--threads", str(threads), "--threads-batch", str(threads)],
            "as many threads as the lease has cores: more would wait",
        ),
        (["--parallel", str(slots)], "requests share each pass over the weights, which is what a small batch waits for"),
        (["--ctx-size", str(context * slots)], "the whole context for each slot: no request is cut short by another"),
        (
            ["--batch-size", str(batch), "--ubatch-size", str(min(batch, 512))],
            "a long prompt holds the others up for one batch",
        ),
        (["--threads-http", str(slots + 4)], "one for each request, and some for health and metrics"),
        (["--cache-reuse", "0", "--cache-ram", "0"], "prefixes stay in the slots; the lease's memory is not ours to fill"),
        (["--no-warmup"], "the first request warms it up; a replica is ready sooner"),
    ]
    if not hardware.is_cpu:
        chosen.append((["--n-gpu-layers", str(_OFFLOAD_ALL)], "all layers on the GPU"))
    words = [word for part, _ in chosen for word in part]
    why = tuple(f"{' '.join(part)}: {reason}" for part, reason in chosen)
    return _finished(model, address, words, slots, why)


def _plain(model: Model, _hardware: Hardware, address: Address) -> Launch:
    """As llama.cpp's makers start it: no option but the model and the address."""
    return _finished(model, address, [], 4)


def _load(metrics: str) -> Load:
    return Load(figure(metrics, ["llamacpp:requests_processing"]), figure(metrics, ["llamacpp:requests_deferred"]))


def _progress(printed: str) -> str:
    """Each dot of its loader is a hundredth of the weights."""
    dots = re.findall(r"^\.{2,}", printed, re.MULTILINE)
    if "loading model" not in printed and not dots:
        return ""
    return f"loads the weights: {min(100, len(dots[-1]) if dots else 0)} %"


LLAMACPP = ServerProgram(
    name="llamacpp",
    abilities=Abilities(
        tokenize="/tokenize",
        template="/apply-template",
        continues=True,
        embeddings=True,
        lora=True,
        schema=True,
        cached_tokens=True,
    ),
    options={
        "threads": "threads that compute; else the cores of the lease",
        "slots": "requests worked on at once",
        "context": "tokens of prompt and answer together, of each slot",
        "batch": "tokens of prompts worked on in one pass",
        "embeddings": "true: it answers /v1/embeddings; mean, cls or last: the same, where the weights do not say how to pool",
        "template": "a chat template (a Jinja file) for the weights; tools are called unasked only by one that shows them",
        "lora": "an adapter (GGUF) that is applied to the model",
        "program": "a llama-server to run instead of the embedded one",
    },
    formats=("gguf",),
    health="/health",
    metrics="/metrics",
    launch=_launch,
    plain=_plain,
    load=_load,
    progress=_progress,
)
