"""The elements of one array in a JSON file, one after the other, so that a file larger than the memory can be read.

Only the array's elements become Python objects, each while it is looked at; the rest of the file is passed over.
"""

import codecs
import json
from collections.abc import Callable, Iterator
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from sublet.core.errors import Invalid
from sublet.traces.files import UNREADABLE, opened

CHUNK = 1 << 20
ELEMENT_MAX = 256 << 20
"""An element longer than so many characters is no job; it ends the reading instead of filling the memory."""

LONGEST_WORD = 64
"""No number or literal of JSON is as long; an error further from the end than this is no broken-off word."""

LONGEST_TAIL = 3
"""What may be missing of a number of which the beginning is a number too: `.5`, or `e-` and a digit."""

Told = Callable[[float], None]

_BLANK = " \t\r\n"


def elements(path: Path, key: str | None, *, expected: str, told: Told | None = None) -> Iterator[Any]:
    """Each element of the array at the top of the file, or of the one at `key` of the object at the top.

    `told` is called with the share of the file that was read. A file without the array is `Invalid`.
    """
    text = _Text(path, expected, told)
    try:
        first = text.peek()
        if key is None:
            if first != "[":
                raise text.broken("it does not begin with a list")
            yield from text.array()
            return
        if first != "{" or not text.enter(key):
            raise text.broken(f"it has no list {key!r}")
        if text.peek() != "[":
            raise text.broken(f"{key!r} is no list")
        yield from text.array()
    finally:
        text.close()


def word(value: Any) -> str | None:
    """A value as a name; null and empty are none. A list or an object is no name."""
    if isinstance(value, list | dict):
        raise TypeError(value)
    return None if value is None or value == "" else str(value)


class _Text:
    """The file's text from the place that was reached on; more is read when it is needed."""

    def __init__(self, path: Path, expected: str, told: Told | None) -> None:
        self._path, self._expected, self._told = path, expected, told
        self._size = max(path.stat().st_size, 1)
        self._file = opened(path)
        self._raw = getattr(self._file, "fileobj", None) or self._file  # of a packed file, the packed one
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._scan = json.JSONDecoder().raw_decode
        self._text, self._at, self._ended = "", 0, False

    def close(self) -> None:
        self._file.close()

    def peek(self) -> str:
        """The next character that is not blank; empty at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _BLANK:
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def enter(self, key: str) -> bool:
        """Go to the value of a key of the object that begins here, past the values before it."""
        self._take("{")
        while self.peek() == '"':
            name = self._value()
            self._take(":")
            if name == key:
                return True
            self.peek()
            self._value()
            if self.peek() != ",":
                return False
            self._take(",")
        return False

    def array(self) -> Iterator[Any]:
        """The elements of the array that begins here."""
        self._take("[")
        while self.peek() != "]":
            yield self._value()
            if self.peek() != ",":
                break
            self._take(",")
        self._take("]")

    def broken(self, why: str) -> Invalid:
        return Invalid(f"{self._path} cannot be read as JSON: {why}", field="trace", hint=self._expected)

    def _take(self, wanted: str) -> None:
        found = self.peek()
        if found != wanted:
            raise self.broken(f"{found!r} stands where {wanted!r} should" if found else "it breaks off")
        self._at += 1

    def _value(self) -> Any:
        """The value that begins here, whole; a number at the end of what was read might go on, so more is looked at."""
        while True:
            self.peek()
            try:
                value, end = self._scan(self._text, self._at)
            except JSONDecodeError as error:
                if self._is_damage(error) or not self._more():
                    raise self.broken(f"it breaks off or is damaged ({error.msg})") from error
                continue
            if end + LONGEST_TAIL < len(self._text) or not self._more():
                self._at = end
                return value

    def _is_damage(self, error: JSONDecodeError) -> bool:
        """Whether more text could not help: it went wrong well before the end, and not inside a string that goes on."""
        return error.pos + LONGEST_WORD < len(self._text) and not error.msg.startswith("Unterminated string")

    def _more(self) -> bool:
        """Read on; twice as much each time while one value does not end, so that long ones are not scanned over and over."""
        if self._ended:
            return False
        kept = self._text[self._at :]
        if len(kept) > ELEMENT_MAX:
            raise self.broken("one element has more than 256 million characters")
        try:
            chunk = self._file.read(max(CHUNK, len(kept)))
        except UNREADABLE as error:
            raise self.broken(str(error)) from error
        self._ended = not chunk
        self._text, self._at = kept + self._decoder.decode(chunk, final=self._ended), 0
        if self._told is not None:
            self._told(min(1.0, self._raw.tell() / self._size))
        return True
