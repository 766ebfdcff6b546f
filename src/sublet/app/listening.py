"""Addresses on which we answer."""

import socket

from sublet.core.errors import Conflict

_BACKLOG = 1_024


def listen(host: str, port: int, *, field: str, hint: str, who: str = "") -> socket.socket:
    """Take an address, where port 0 is a free one; raises `Conflict` when somebody else has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        said = f"{who} cannot listen on {host}:{port}: {error.strerror}".lstrip()
        raise Conflict(said, field=field, hint=hint) from error
