"""Codes written in one line."""


def codes(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())
