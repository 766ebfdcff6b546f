"""`python -m sublet.gateway.servers.llama_server`: llama.cpp's server from the wheel `xllamacpp`, with llama-server's flags.

It takes the flags that `llamacpp.py` gives and those its user may want beside them; the names and meanings are llama.cpp's.
The API key comes by `LLAMA_API_KEY`, as there.
"""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

FLAGS: dict[str, tuple[str, type]] = {
    "--threads": ("cpuparams.n_threads", int),
    "--threads-batch": ("cpuparams_batch.n_threads", int),
    "--threads-http": ("n_threads_http", int),
    "--parallel": ("n_parallel", int),
    "--ctx-size": ("n_ctx", int),
    "--batch-size": ("n_batch", int),
    "--ubatch-size": ("n_ubatch", int),
    "--cache-reuse": ("n_cache_reuse", int),
    "--cache-ram": ("cache_ram_mib", int),
    "--n-gpu-layers": ("n_gpu_layers", int),
    "--verbosity": ("verbosity", int),
}
"""llama-server's flag, and the field of the wheel's `CommonParams`."""
POOLINGS = ("mean", "cls", "last")
"""How the vectors of a text's tokens become one, where the weights do not say."""


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="llama_server", description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--alias", default="")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--lora", action="append", default=[])
    parser.add_argument("--chat-template-file", default="")
    parser.add_argument("--pooling", choices=POOLINGS, default="")
    for flag in ("--metrics", "--embeddings", "--no-warmup"):
        parser.add_argument(flag, action="store_true")
    for flag, (_, kind) in FLAGS.items():
        parser.add_argument(flag, type=kind)
    return parser.parse_args(arguments)


def params_of(asked: argparse.Namespace, library: Any) -> Any:
    """What the wheel's server is made from."""
    params = library.CommonParams()
    params.model.path = asked.model
    params.hostnames, params.port = [asked.host], asked.port
    params.endpoint_metrics, params.embedding, params.warmup = asked.metrics, asked.embeddings, not asked.no_warmup
    params.ui = False  # nothing is served but the API
    params.n_parallel = 4  # what llama-server has without the flag; the wheel's own default is 1
    params.kv_unified = True  # the same
    if asked.alias:
        params.model_alias = {asked.alias}
    if key := os.environ.get("LLAMA_API_KEY"):
        params.api_keys = [key]
    for flag, (path, _) in FLAGS.items():
        value = getattr(asked, flag.removeprefix("--").replace("-", "_"))
        if value is not None:
            holder, _, name = path.rpartition(".")
            setattr(getattr(params, holder) if holder else params, name, value)
    if asked.chat_template_file:
        params.chat_template = Path(asked.chat_template_file).read_text()
    if asked.pooling:
        params.pooling_type = getattr(library.llama_pooling_type, f"LLAMA_POOLING_TYPE_{asked.pooling.upper()}")
    params.lora_adapters = [library.CommonAdapterLoraInfo(path, 1.0) for path in asked.lora]
    return params


def main() -> None:
    """Serve until told to end."""
    asked = parsed(sys.argv[1:])
    try:
        import xllamacpp  # noqa: PLC0415 (an extra: who has no model to serve need not have it)
    except ImportError:
        sys.exit("llama.cpp is not installed: pip install 'sublet[models]', or name your own: --option program=llama-server")
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    server = xllamacpp.Server(params_of(asked, xllamacpp))
    print(f"listening on {server.listening_address}", flush=True)
    while not over.wait(3600):
        pass
    os._exit(0)  # it has nothing to save, and its own way down waits for open streams


if __name__ == "__main__":
    main()
