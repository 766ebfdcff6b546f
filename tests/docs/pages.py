"""The documentation as values: pages, their headings, links, tables and code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`]*`")
_EDGE = re.compile(r"^ +(\w+) --> (\w+): (\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Where it lies, from the repository's root."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text()

    @cached_property
    def prose(self) -> str:
        """It without its code blocks."""
        return _FENCE.sub("", self.text)

    def code(self, language: str) -> list[str]:
        """Its code blocks of one language."""
        return [body for named, body in _FENCE.findall(self.text) if named == language]

    @property
    def links(self) -> list[str]:
        """Where its links lead."""
        return _LINK.findall(_CODE.sub("", self.prose))

    @property
    def anchors(self) -> set[str]:
        """Its headings, as links name them."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    @property
    def edges(self) -> list[tuple[str, str, str]]:
        """(from, event, to) of each arrow of its state chart."""
        return [(source, event, target) for chart in self.code("mermaid") for source, target, event in _EDGE.findall(chart)]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The cells of its tables, without their headings and dressing."""
        for line in self.prose.splitlines():
            if line.startswith("| "):
                yield tuple(cell.strip() for cell in line.strip("|").split("|"))

    def table(self) -> dict[str, str]:
        """First cell to second, for every row whose first cell names something in code; several names share a row."""
        named = {}
        for first, second, *_ in self.rows():
            for name in re.findall(r"`([^`]+)`", first):
                named[name] = second
        return named


def page(name: str) -> Page:
    """A page by its place."""
    return Page(ROOT / name)


PAGES = [Page(path) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])]
