"""The Llama that we train ourselves: its gradients are exact, and llama.cpp finds the same logits and the same tokens."""

import math
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from sublet.app.weights import TINY
from sublet.core.errors import Invalid
from sublet.weights import bpe, gguf
from sublet.weights.llama import Adam, Adapter, Llama, Shape, Weights, fresh, opened

SMALL = Shape(50, 16, 2, 4, 2, 24)


def slopes(model: Llama, weights: Weights, batch: tuple[Any, Any, Any], rng: np.random.Generator) -> None:
    """Compare every gradient with the slope of the loss, at a random place of each weight."""
    gradients = model.loss(*batch)[1]
    assert set(gradients) == set(weights)
    for name, weight in weights.items():
        at = tuple(rng.integers(0, size) for size in weight.shape)
        kept, losses = weight[at], []
        for step in (1e-5, -1e-5):
            weight[at] = kept + step
            losses.append(model.loss(*batch)[0])
        weight[at] = kept
        assert gradients[name][at] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-5, abs=1e-9), name


@pytest.mark.parametrize("with_adapter", [False, True])
def test_gradients_are_the_slopes_of_the_loss(*, with_adapter: bool) -> None:
    rng = np.random.default_rng(7)
    weights = {name: value.astype(np.float64) for name, value in fresh(SMALL, rng).items()}
    tokens, wanted = rng.integers(0, 50, (2, 2, 7))
    counted = rng.integers(0, 2, (2, 7)).astype(np.float64)
    if not with_adapter:
        slopes(Llama(SMALL, weights), weights, (tokens, wanted, counted), rng)
        return
    adapter = Adapter.fresh(weights, rank=3, alpha=6.0, rng=rng)
    parts = {name: value.astype(np.float64) for name, value in adapter.weights.items()}
    for name, value in parts.items():
        if name.endswith(".b"):
            parts[name][...] = rng.normal(0, 0.1, value.shape)
    adapter = Adapter(parts, adapter.scale)
    slopes(Llama(SMALL, weights, adapter), parts, (tokens, wanted, counted), rng)
    merged = Llama(SMALL, adapter.merged(weights)).logits(tokens)
    assert np.allclose(merged, Llama(SMALL, weights, adapter).logits(tokens), atol=1e-6)


def test_adam_goes_down_and_a_fresh_adapter_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    weights = fresh(SMALL, rng)
    tokens = rng.integers(0, 50, (4, 9))
    adapter = Adapter.fresh(weights, rank=2, alpha=4.0, rng=rng)
    model = Llama(SMALL, weights, adapter)
    assert np.array_equal(model.logits(tokens), Llama(SMALL, weights).logits(tokens))
    climb, ones = Adam(adapter.weights), np.ones((4, 8), np.float32)
    losses = []
    for _ in range(80):
        loss, gradients = model.loss(tokens[:, :-1], tokens[:, 1:], ones)
        climb.step(gradients, 3e-2)
        losses.append(loss)
    assert losses[-1] < losses[0] - 0.2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """llama.cpp with the shipped model, as our start options have it."""
    pytest.importorskip("xllamacpp", reason="the embedded llama.cpp is not installed: pip install 'sublet[models]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--model", str(TINY), "--port", str(port), "--threads", "1", "--ctx-size", "8192", "--metrics"]
    log = (tmp_path_factory.mktemp("server") / "log").open("wb")
    running = subprocess.Popen(
        [sys.executable, "-P", "-m", "sublet.gateway.servers.llama_server", *words],
        env={**os.environ, "LLAMA_API_KEY": "key"},
        stdout=log,
        stderr=log,
    )
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer key"}, timeout=30, trust_env=False
    )
    try:
        give_up = time.monotonic() + 20
        while True:
            assert running.poll() is None and time.monotonic() < give_up
            try:
                if client.get("/health").is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield client
    finally:
        client.close()
        running.terminate()
        running.wait(10)
        log.close()


def test_llama_cpp_finds_our_tokens(server: httpx.Client) -> None:
    shipped = opened(gguf.read(TINY))
    rng = random.Random(3)
    texts = [
        "What does os.path.join do?",
        "  two  spaces\n\n\tand tabs ",
        "it's 2026; x_1 = f(y)**2",
        "größer · naïve ☃ 中文",
        "<|user|>hi</s>",
    ]
    texts += [
        "".join(chr(rng.choice([32, 10, 39, 95, *range(48, 123), *range(192, 400)])) for _ in range(40)) for _ in range(40)
    ]
    for text in texts:
        told = server.post("/tokenize", json={"content": text, "add_special": False, "parse_special": True}).json()["tokens"]
        assert shipped.tokenizer.encode(text) == told, text
        assert shipped.tokenizer.decode(shipped.tokenizer.encode(text)) == text.replace("<|user|>", "").replace("</s>", "")


def test_llama_cpp_finds_our_logits(server: httpx.Client) -> None:
    """Two implementations that share no line agree on the probabilities of the next token."""
    shipped = opened(gguf.read(TINY))
    prompt = shipped.tokenizer.encode("<|user|>What does math.sqrt do?</s><|assistant|>Return the")
    told = server.post("/completion", json={"prompt": prompt, "n_predict": 1, "n_probs": 5, "temperature": 0}).json()
    scores = Llama(shipped.shape, shipped.weights).logits(np.array([prompt]))[0, -1]
    logs = scores - scores.max() - math.log(np.exp(scores - scores.max()).sum())
    for one in told["completion_probabilities"][0]["top_logprobs"]:
        assert one["logprob"] == pytest.approx(float(logs[one["id"]]), abs=0.05), one
    assert told["completion_probabilities"][0]["id"] == int(scores.argmax())


def test_the_shipped_model_chats_and_ends_its_answers(server: httpx.Client) -> None:
    asked = {"messages": [{"role": "user", "content": "What does os.path.join do?"}], "max_tokens": 80, "temperature": 0}
    answer = server.post("/v1/chat/completions", json=asked).json()
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert "pathname components" in answer["choices"][0]["message"]["content"]


def test_a_stream_goes_on_from_the_tokens_that_were_sent(server: httpx.Client) -> None:
    shipped = opened(gguf.read(TINY))
    prompt = shipped.tokenizer.encode("<|user|>Explain assert in Python.</s><|assistant|>")
    body = {"temperature": 0, "return_tokens": True}
    whole = server.post("/completion", json={**body, "prompt": prompt, "n_predict": 40}).json()["tokens"]
    for cut in (1, 7, 20):
        rest = server.post("/completion", json={**body, "prompt": [*prompt, *whole[:cut]], "n_predict": 40 - cut}).json()[
            "tokens"
        ]
        assert [*whole[:cut], *rest] == whole


def test_a_file_that_is_no_model_is_told_from_one(tmp_path: Path) -> None:
    whole = TINY.read_bytes()
    cases = {
        "text": (b"hello, this is a text", "is no GGUF file"),
        "empty": (b"", "cannot be read: it is empty"),
        "head": (whole[:3_000], "is damaged"),
        "tail": (whole[:-4_096], "is cut off"),
        "old": (b"GGUF" + bytes([1, 0, 0, 0]) + whole[8:], "is GGUF version 1"),
    }
    for name, (content, said) in cases.items():
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(Invalid, match=said):
            gguf.read(file)
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        gguf.read(tmp_path / "nothing")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    values = {
        "general.architecture": "llama",
        "llama.context_length": 7,
        "x.f": 0.5,
        "x.b": True,
        "x.t": ["a", "ü"],
        "x.i": [1, -2],
    }
    tensors: dict[str, Any] = {"a": rng.normal(size=(3, 5)).astype(np.float32), "b": rng.normal(size=(7,)).astype(np.float16)}
    gguf.write(tmp_path / "small.gguf", values, tensors)
    head = gguf.read(tmp_path / "small.gguf")
    assert head.values == values and head.parameters == 22 and head.of_architecture("context_length") == 7
    assert np.array_equal(head.tensor("a"), tensors["a"]) and np.array_equal(head.tensor("b"), tensors["b"].astype(np.float32))


def test_a_tokenizer_learns_the_frequent_and_loses_nothing() -> None:
    text = "the cat and the hat and the bat\n" * 20 + "Ünïcode ☃"
    made = bpe.learnt(text, size=300, specials=("<s>",))
    assert made.tokens[0] == "<s>" and len(made.tokens) <= 300 and made.decode(made.encode(text)) == text
    assert len(made.encode(text)) < len(text) / 2
    assert bpe.learnt(text, size=300, specials=("<s>",)).merges == made.merges
