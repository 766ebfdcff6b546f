"""A Llama in numpy: forward, exact gradients, and low-rank adapters. For models that are small enough for a CPU to train.

Names and layouts of weights are GGUF's: a matrix is (out, in), and RoPE turns neighbouring pairs. The output matrix is the
embedding's. Arrays: B texts, T tokens, D width, H heads of size E in K groups, F hidden, V vocabulary; all float32.

Formulas: RMSNorm (Zhang and Sennrich 2019), RoPE (Su et al. 2021), SwiGLU (Shazeer 2020), grouped
queries (Ainslie et al. 2023), LoRA (Hu et al. 2021): y = W x + (alpha / r) B A x with W fixed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sublet.core.errors import Invalid
from sublet.weights.bpe import Tokenizer, from_values
from sublet.weights.gguf import Gguf, write

Floats = npt.NDArray[Any]  # float32; float64 where gradients are checked
Tokens = npt.NDArray[np.int64]
Weights = dict[str, Floats]
ADAPTED = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
"""The matrices of each block that an adapter changes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes, as in the head of a GGUF file."""

    vocabulary: int
    width: int
    blocks: int
    heads: int
    groups: int  # key and value heads
    hidden: int
    epsilon: float = 1e-5
    rope_base: float = 10_000.0

    @property
    def head(self) -> int:
        """The size of a head."""
        return self.width // self.heads


@dataclass(frozen=True, slots=True)
class Adapter:
    """Low-rank changes: `NAME.a` is (rank, in) and `NAME.b` (out, rank) for each adapted matrix; `scale` is alpha / rank."""

    weights: Weights
    scale: float

    @classmethod
    def fresh(cls, base: Mapping[str, Floats], *, rank: int, alpha: float, rng: np.random.Generator) -> "Adapter":
        """One that changes nothing yet: A is random, B zero."""
        made: Weights = {}
        for name, matrix in base.items():
            if name.removesuffix(".weight").rpartition(".")[2] in ADAPTED:
                out, into = matrix.shape
                made[f"{name}.a"] = rng.normal(0, into**-0.5, (rank, into)).astype(np.float32)
                made[f"{name}.b"] = np.zeros((out, rank), np.float32)
        return cls(made, alpha / rank)

    def merged(self, base: Mapping[str, Floats]) -> Weights:
        """The base with the changes in it."""
        made = dict(base)
        for name in base:
            if f"{name}.a" in self.weights:
                change = self.weights[f"{name}.b"] @ self.weights[f"{name}.a"]
                made[name] = base[name] + np.float32(self.scale) * change
        return made


def fresh(shape: Shape, rng: np.random.Generator) -> Weights:
    """Random weights to begin with: normal, narrower where a block writes back."""
    kv, back = shape.groups * shape.head, (2 * shape.blocks) ** -0.5
    sizes: dict[str, tuple[int, int]] = {
        "attn_q": (shape.width, shape.width),
        "attn_k": (kv, shape.width),
        "attn_v": (kv, shape.width),
        "attn_output": (shape.width, shape.width),
        "ffn_gate": (shape.hidden, shape.width),
        "ffn_up": (shape.hidden, shape.width),
        "ffn_down": (shape.width, shape.hidden),
    }
    made = {"token_embd.weight": rng.normal(0, 0.02, (shape.vocabulary, shape.width)).astype(np.float32)}
    for block in range(shape.blocks):
        for norm in ("attn_norm", "ffn_norm"):
            made[f"blk.{block}.{norm}.weight"] = np.ones(shape.width, np.float32)
        for name, (out, into) in sizes.items():
            wide = into**-0.5 * (back if name in {"attn_output", "ffn_down"} else 1.0)
            made[f"blk.{block}.{name}.weight"] = rng.normal(0, wide, (out, into)).astype(np.float32)
    return made | {"output_norm.weight": np.ones(shape.width, np.float32)}


@dataclass(frozen=True, slots=True)
class Opened:
    """A Llama out of its file, with its tokenizer."""

    shape: Shape
    weights: Weights
    tokenizer: Tokenizer
    head: Gguf

    def saved(self, path: Path, weights: Weights, **values: str) -> None:
        """Write other weights of the same shape, in half precision, under a head with some values changed."""
        kept = {name: value.astype(np.float32 if value.ndim == 1 else np.float16) for name, value in weights.items()}
        changed = {name.replace("__", "."): value for name, value in values.items()}
        write(path, {**self.head.values, **changed}, kept)


def opened(head: Gguf) -> Opened:
    """The Llama in a GGUF file; raises `Invalid` for another architecture, tokenizer or number format."""
    if head.architecture != "llama" or head.values.get("tokenizer.ggml.pre") != "gpt-2" or "output.weight" in head.tensors:
        said = f"{head.path.name} is no Llama with GPT-2's tokenizer and one matrix for input and output"
        raise Invalid(said, field="model", hint="the built-in model is one, and what was tuned from it")
    sizes = (
        "vocab_size",
        "embedding_length",
        "block_count",
        "attention.head_count",
        "attention.head_count_kv",
        "feed_forward_length",
    )
    rest = ("attention.layer_norm_rms_epsilon", "rope.freq_base")
    shape = Shape(*(int(head.of_architecture(name)) for name in sizes), *(float(head.of_architecture(name)) for name in rest))
    weights = {name: head.tensor(name) for name in head.tensors}
    return Opened(shape, weights, from_values(head.values, head.values["tokenizer.ggml.token_type"]), head)


class Llama:
    """One forward and backward pass at a time. With an adapter, only that has gradients."""

    def __init__(self, shape: Shape, weights: Weights, adapter: Adapter | None = None) -> None:
        self.shape, self.weights, self.adapter = shape, weights, adapter
        self._grads: Weights = {}

    def logits(self, tokens: Tokens) -> Floats:
        """(B, T, V): what may come after each of `tokens` (B, T)."""
        x, _ = self._up(tokens)
        return x @ self.weights["token_embd.weight"].T

    def loss(self, tokens: Tokens, wanted: Tokens, counted: Floats) -> tuple[float, Weights]:
        """Mean cross-entropy (nats a token) of `wanted` after `tokens`, both (B, T), and its gradients by name.

        `counted` (B, T) weighs each token; what a prompt says is not to be learnt, for example.
        """
        self._grads = {}
        x, kept = self._up(tokens)
        table = self.weights["token_embd.weight"]
        flat, answers = x.reshape(-1, x.shape[-1]), wanted.reshape(-1)
        share = (counted / max(float(counted.sum()), 1.0)).reshape(-1, 1)
        scores = flat @ table.T
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        rows = np.arange(len(answers))
        found = float(-(np.log(scores[rows, answers] + 1e-30) * share[:, 0]).sum())
        scores[rows, answers] -= 1
        scores *= share
        if self.adapter is None:
            self._add("token_embd.weight", scores.T @ flat)
        self._down(tokens, (scores @ table).reshape(x.shape), kept)
        return found, self._grads

    def surprise(self, tokens: Tokens, wanted: Tokens, counted: Floats) -> float:
        """The sum of the cross-entropy (nats) of `wanted` after `tokens`, both (B, T), over those that `counted` counts."""
        x, _ = self._up(tokens)
        scores = x.reshape(-1, x.shape[-1]) @ self.weights["token_embd.weight"].T
        scores -= scores.max(axis=-1, keepdims=True)
        chosen = scores[np.arange(len(scores)), wanted.reshape(-1)] - np.log(np.exp(scores, out=scores).sum(axis=-1))
        return float(-(chosen * counted.reshape(-1)).sum())

    def _up(self, tokens: Tokens) -> tuple[Floats, list[tuple[Floats, ...]]]:
        """The last hidden states after their norm, and what the way down needs."""
        turn = _angles(self.shape, tokens.shape[1])
        x = self.weights["token_embd.weight"][tokens]
        kept: list[tuple[Floats, ...]] = []
        for block in range(self.shape.blocks):
            x, of_attention = self._attend(f"blk.{block}", x, turn)
            x, of_feed = self._feed(f"blk.{block}", x)
            kept += [of_attention, of_feed]
        y, normed, inverse = self._norm("output_norm.weight", x)
        kept.append((normed, inverse))
        return y, kept

    def _down(self, tokens: Tokens, dy: Floats, kept: list[tuple[Floats, ...]]) -> None:
        turn = _angles(self.shape, tokens.shape[1])
        normed, inverse = kept.pop()
        dx = self._norm_back("output_norm.weight", dy, normed, inverse)
        for block in reversed(range(self.shape.blocks)):
            dx = self._feed_back(f"blk.{block}", dx, kept.pop())
            dx = self._attend_back(f"blk.{block}", dx, kept.pop(), turn)
        if self.adapter is None:
            np.add.at(self._grads["token_embd.weight"], tokens.reshape(-1), dx.reshape(-1, dx.shape[-1]))

    def _attend(self, block: str, x: Floats, turn: Floats) -> tuple[Floats, tuple[Floats, ...]]:
        texts, length, _ = x.shape
        shape = self.shape
        y, normed, inverse = self._norm(f"{block}.attn_norm.weight", x)
        q = _turned(self._linear(f"{block}.attn_q.weight", y).reshape(texts, length, shape.heads, shape.head), turn)
        k = _turned(self._linear(f"{block}.attn_k.weight", y).reshape(texts, length, shape.groups, shape.head), turn)
        v = self._linear(f"{block}.attn_v.weight", y).reshape(texts, length, shape.groups, shape.head)
        grouped = q.reshape(texts, length, shape.groups, -1, shape.head).transpose(0, 2, 3, 1, 4)  # B K H/K T E
        keys, vals = (part.transpose(0, 2, 1, 3)[:, :, None] for part in (k, v))  # B K 1 T E
        scores = grouped @ keys.swapaxes(-1, -2) * np.float32(shape.head**-0.5)
        scores += np.triu(np.full((length, length), -np.inf, np.float32), 1)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ vals).transpose(0, 3, 1, 2, 4).reshape(texts, length, -1)
        return x + self._linear(f"{block}.attn_output.weight", mixed), (y, normed, inverse, grouped, keys, vals, scores, mixed)

    def _attend_back(self, block: str, dx: Floats, kept: tuple[Floats, ...], turn: Floats) -> Floats:
        y, normed, inverse, grouped, keys, vals, scores, mixed = kept
        texts, length, _ = dx.shape
        shape = self.shape
        d_mixed = self._linear_back(f"{block}.attn_output.weight", dx, mixed)
        d_mixed = d_mixed.reshape(texts, length, shape.groups, -1, shape.head).transpose(0, 2, 3, 1, 4)
        d_vals = (scores.swapaxes(-1, -2) @ d_mixed).sum(axis=2)  # over the heads of a group
        d_scores = d_mixed @ vals.swapaxes(-1, -2)
        d_scores -= (d_scores * scores).sum(axis=-1, keepdims=True)
        d_scores *= scores
        d_scores *= np.float32(shape.head**-0.5)
        d_q = (d_scores @ keys).transpose(0, 3, 1, 2, 4).reshape(texts, length, shape.heads, shape.head)
        d_k = (d_scores.swapaxes(-1, -2) @ grouped).sum(axis=2).transpose(0, 2, 1, 3)
        parts = {
            "attn_q": _turned(d_q, -turn),
            "attn_k": _turned(d_k, -turn),
            "attn_v": d_vals.transpose(0, 2, 1, 3),
        }
        dy = np.zeros_like(y)
        for name, part in parts.items():
            dy += self._linear_back(f"{block}.{name}.weight", part.reshape(texts, length, -1), y)
        return dx + self._norm_back(f"{block}.attn_norm.weight", dy, normed, inverse)

    def _feed(self, block: str, x: Floats) -> tuple[Floats, tuple[Floats, ...]]:
        y, normed, inverse = self._norm(f"{block}.ffn_norm.weight", x)
        gate, up = self._linear(f"{block}.ffn_gate.weight", y), self._linear(f"{block}.ffn_up.weight", y)
        sigma = 1 / (1 + np.exp(-gate))
        return x + self._linear(f"{block}.ffn_down.weight", gate * sigma * up), (y, normed, inverse, gate, up, sigma)

    def _feed_back(self, block: str, dx: Floats, kept: tuple[Floats, ...]) -> Floats:
        y, normed, inverse, gate, up, sigma = kept
        d_inner = self._linear_back(f"{block}.ffn_down.weight", dx, gate * sigma * up)
        d_gate = d_inner * up * sigma * (1 + gate * (1 - sigma))
        dy = self._linear_back(f"{block}.ffn_gate.weight", d_gate, y)
        dy += self._linear_back(f"{block}.ffn_up.weight", d_inner * gate * sigma, y)
        return dx + self._norm_back(f"{block}.ffn_norm.weight", dy, normed, inverse)

    def _linear(self, name: str, x: Floats) -> Floats:
        y = x @ self.weights[name].T
        if self.adapter is not None and f"{name}.a" in self.adapter.weights:
            parts = self.adapter.weights
            y += np.float32(self.adapter.scale) * (x @ parts[f"{name}.a"].T) @ parts[f"{name}.b"].T
        return y

    def _linear_back(self, name: str, dy: Floats, x: Floats) -> Floats:
        dx = dy @ self.weights[name]
        flat_dy, flat_x = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
        if self.adapter is None:
            self._add(name, flat_dy.T @ flat_x)
        elif f"{name}.a" in self.adapter.weights:
            low, high = self.adapter.weights[f"{name}.a"], self.adapter.weights[f"{name}.b"]
            d_low = np.float32(self.adapter.scale) * (flat_dy @ high)
            self._add(f"{name}.b", np.float32(self.adapter.scale) * flat_dy.T @ (flat_x @ low.T))
            self._add(f"{name}.a", d_low.T @ flat_x)
            dx = dx + (d_low @ low).reshape(x.shape)
        return dx

    def _norm(self, name: str, x: Floats) -> tuple[Floats, Floats, Floats]:
        inverse = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(self.shape.epsilon))
        normed = x * inverse
        return normed * self.weights[name], normed, inverse

    def _norm_back(self, name: str, dy: Floats, normed: Floats, inverse: Floats) -> Floats:
        if self.adapter is None:
            self._add(name, (dy * normed).reshape(-1, dy.shape[-1]).sum(axis=0))
        d_normed = dy * self.weights[name]
        dx: Floats = inverse * (d_normed - normed * (d_normed * normed).mean(axis=-1, keepdims=True))
        return dx

    def _add(self, name: str, gradient: Floats) -> None:
        self._grads[name] = self._grads[name] + gradient if name in self._grads else gradient


class Adam:
    """AdamW (Loshchilov and Hutter 2019) over named weights, changed in place; `state` holds all that a later run needs."""

    def __init__(self, weights: Weights, *, decay: float = 0.0) -> None:
        self.weights, self.decay, self.steps = weights, decay, 0
        self.state: Weights = {
            f"{name}.{which}": np.zeros_like(value) for name, value in weights.items() for which in ("mean", "square")
        }

    def step(self, gradients: Mapping[str, Floats], rate: float) -> None:
        """Move all weights; gradients longer than 1 together are shortened to 1."""
        self.steps += 1
        length = float(np.sqrt(sum(float((one * one).sum()) for one in gradients.values())))
        shorten = np.float32(min(1.0, 1.0 / (length + 1e-6)))
        for name, gradient in gradients.items():
            mean, square = self.state[f"{name}.mean"], self.state[f"{name}.square"]
            mean += np.float32(0.1) * (gradient * shorten - mean)
            square += np.float32(0.01) * ((gradient * shorten) ** 2 - square)
            move = mean / np.float32(1 - 0.9**self.steps)
            move /= np.sqrt(square / np.float32(1 - 0.99**self.steps)) + np.float32(1e-8)
            weight = self.weights[name]
            weight -= np.float32(rate) * (move + np.float32(self.decay if weight.ndim > 1 else 0.0) * weight)


def _angles(shape: Shape, length: int) -> Floats:
    """(T, E/2): how far each pair of a head is turned at each position."""
    speeds = shape.rope_base ** (-np.arange(0, shape.head, 2) / shape.head)
    return np.outer(np.arange(length), speeds).astype(np.float32)


def _turned(x: Floats, angles: Floats) -> Floats:
    """(B, T, heads, E) with each pair of neighbours turned by its angle."""
    cos, sin = np.cos(angles)[None, :, None], np.sin(angles)[None, :, None]
    made = np.empty_like(x)
    made[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
    made[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
    return made
