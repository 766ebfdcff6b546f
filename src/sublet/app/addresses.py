"""Addresses that tenants give us to call."""

from urllib.parse import urlsplit


def callable_url(url: str) -> bool:
    """Whether this is an http or https address with a host: nothing else is ever called."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
