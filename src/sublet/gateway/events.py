"""Server-sent events, as far as OpenAI's streams use them: blocks of `data:` lines that an empty line ends."""

DONE = b"data: [DONE]\n\n"
_EVENT_BYTES_MAX = 4 * 1024 * 1024


class Events:
    """Cuts what comes off the wire into events."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that are complete by now; raises `ValueError` for one that is larger than we keep."""
        blocks = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        self._rest = blocks.pop()
        if len(self._rest) > _EVENT_BYTES_MAX:
            raise ValueError("an event is larger than is kept in memory")
        found = []
        for block in blocks:
            if block.startswith(b"data:") and b"\n" not in block:  # as good as always
                found.append(block[5:].strip())
                continue
            lines = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
            if lines:
                found.append(b"\n".join(lines))
        return found
