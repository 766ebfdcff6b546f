"""Scenarios and price tables that come with Sublet."""

from importlib.resources import files

NAMES: dict[str, str] = {
    "university-128": "128 GPUs of a university, two generations, euros",
    "company-2000": "2,000 GPUs of a company that buys 512 more next year",
    "hyperscaler-2026": "600,000 H100 equivalents against a public company's accounts; checks an industry's claims",
}
"""A scenario and what it is."""


def text(name: str) -> str:
    """The TOML text of a shipped scenario."""
    return _read(f"{name}.toml")


def table(name: str) -> bytes | None:
    """A shipped price table, or None if there is none of this name."""
    found = files("sublet.advice.finance") / "scenarios" / name
    return found.read_bytes() if name.endswith(".csv") and "/" not in name and found.is_file() else None


def _read(name: str) -> str:
    return (files("sublet.advice.finance") / "scenarios" / name).read_text(encoding="utf-8")
