"""GGUF files, version 3: what llama.cpp loads. Reading looks at the head only; tensors are mapped, not copied.

The layout is that of docs/gguf.md in ggml: magic, version, counts, key-value pairs, tensor descriptions, padding, tensors. Only
what our own small models need is written: F32 and F16 tensors, and values of the kinds below.
"""

import mmap
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sublet.core.errors import Invalid

MAGIC = b"GGUF"
VERSION = 3
_ALIGN = 32
_TEXT, _LIST = 8, 9
_SCALARS: Mapping[int, str] = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_FLOATS: Mapping[int, type[np.float32] | type[np.float16]] = {0: np.float32, 1: np.float16}
_HEAD_MAX = 256 << 20  # the largest vocabularies take some 20 MB
Tensor = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Described:
    """Where a tensor lies: its kind in ggml's numbering, its shape with the slowest index first, and its offset in bytes."""

    kind: int
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Gguf:
    """The head of a file."""

    path: Path
    values: Mapping[str, Any]
    tensors: Mapping[str, Described]
    data_start: int

    @property
    def architecture(self) -> str:
        """Such as `llama`."""
        return str(self.values.get("general.architecture", ""))

    def of_architecture(self, name: str, default: Any = None) -> Any:
        """A value under the architecture's own prefix, e.g. `context_length`."""
        return self.values.get(f"{self.architecture}.{name}", default)

    @property
    def parameters(self) -> int:
        """Weights in all tensors together."""
        return sum(prod(one.shape) for one in self.tensors.values())

    def tensor(self, name: str) -> Tensor:
        """A tensor as float32; raises `Invalid` for one that is quantised."""
        found = self.tensors[name]
        if found.kind not in _FLOATS:
            raise Invalid(
                f"{self.path.name}: the tensor {name} is quantised", field="source", hint="train on an F16 or F32 file"
            )
        kind = _FLOATS[found.kind]
        flat = np.fromfile(self.path, kind, count=prod(found.shape), offset=self.data_start + found.offset)
        return flat.reshape(found.shape).astype(np.float32)


def read(path: Path) -> Gguf:
    """The head of a file; raises `Invalid` that says what is wrong with it."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _Reader(path, mapped).head()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is empty"
        raise Invalid(f"{path} cannot be read: {reason}", field="source", hint="name a GGUF file") from error
    except (struct.error, IndexError, UnicodeDecodeError, KeyError, OverflowError, MemoryError) as error:
        hint = "fetch or copy it again, and compare its size with the original's"
        raise Invalid(f"{path} is damaged: its head ends early or makes no sense", field="source", hint=hint) from error


class _Reader:
    """A cursor in the mapped file."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self._path, self._mapped, self._at = path, mapped, 0

    def head(self) -> Gguf:
        if self._mapped[:4] != MAGIC:
            hint = "llama.cpp loads GGUF files; its convert_hf_to_gguf.py makes one of a Hugging Face folder"
            raise Invalid(f"{self._path} is no GGUF file", field="source", hint=hint)
        self._at = 4
        version = self._number("I")
        if version not in {2, VERSION}:
            raise Invalid(f"{self._path} is GGUF version {version}; 2 and {VERSION} are read", field="source")
        tensors, values = self._number("Q"), self._number("Q")
        known = {self._text(): self._value(self._number("I")) for _ in range(values)}
        described = {self._text(): self._described() for _ in range(tensors)}
        align = int(known.get("general.alignment", _ALIGN))
        start = -(-self._at // align) * align
        self._check_length(described, start)
        return Gguf(self._path, known, described, start)

    def _check_length(self, described: Mapping[str, Described], start: int) -> None:
        """The last float tensor must lie within the file: a copy that was cut off is found before a lease is started."""
        ends = [one.offset + prod(one.shape) * _FLOATS[one.kind]().nbytes for one in described.values() if one.kind in _FLOATS]
        starts = [one.offset + 1 for one in described.values()]
        needed = start + max([*ends, *starts], default=0)
        if needed > len(self._mapped):
            hint = "fetch or copy it again"
            raise Invalid(f"{self._path} is cut off: {len(self._mapped)} of at least {needed} bytes", field="source", hint=hint)

    def _described(self) -> Described:
        shape = tuple(self._number("Q") for _ in range(self._number("I")))
        return Described(self._number("I"), tuple(reversed(shape)), self._number("Q"))

    def _number(self, code: str) -> Any:
        (value,) = struct.unpack_from(f"<{code}", self._mapped, self._at)
        self._at += struct.calcsize(f"<{code}")
        if self._at > _HEAD_MAX:
            raise IndexError
        return value

    def _text(self) -> str:
        length = self._number("Q")
        if length > len(self._mapped) - self._at:
            raise IndexError
        self._at += length
        return self._mapped[self._at - length : self._at].decode()

    def _value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text()
        if kind == _LIST:
            of, length = self._number("I"), self._number("Q")
            if of == _TEXT:
                return [self._text() for _ in range(length)]
            return [self._number(_SCALARS[of]) for _ in range(length)]
        return self._number(_SCALARS[kind])


def write(path: Path, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a file: texts, whole numbers (uint32), floats, truths and lists of one kind; tensors of float32 or float16."""
    head = bytearray(MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(values)))
    for name, value in values.items():
        head += _packed_text(name) + _packed(value)
    offset = 0
    for name, tensor in tensors.items():
        shape = tuple(reversed(tensor.shape))
        kind = 0 if tensor.dtype == np.float32 else 1
        assert tensor.dtype in {np.dtype(np.float32), np.dtype(np.float16)}, tensor.dtype
        head += _packed_text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape) + struct.pack("<IQ", kind, offset)
        offset += -(-tensor.nbytes // _ALIGN) * _ALIGN
    draft = path.with_name(f".{path.name}.new")
    with draft.open("wb") as file:
        file.write(head + b"\0" * (-len(head) % _ALIGN))
        for tensor in tensors.values():
            file.write(tensor.tobytes() + b"\0" * (-tensor.nbytes % _ALIGN))
    draft.replace(path)


def _packed(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", _TEXT) + _packed_text(value)
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    return _packed_list(value)


def _packed_list(value: Sequence[Any]) -> bytes:
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", _LIST, _TEXT, len(value)) + b"".join(map(_packed_text, value))
    kind, code = (6, "f") if value and isinstance(value[0], float) else (5, "i")
    return struct.pack(f"<IIQ{len(value)}{code}", _LIST, kind, len(value), *value)


def _packed_text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
