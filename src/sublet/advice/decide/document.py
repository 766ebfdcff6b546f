"""The JSON document of a decision. Keys are sorted, so that the same files give the same bytes."""

from typing import Any

from sublet.advice.audit.document import plain, text_of
from sublet.advice.decide.report import Line, Report

__all__ = ["document", "text_of"]


def document(report: Report) -> dict[str, Any]:
    """The report as JSON values."""
    made = plain(report)
    assert isinstance(made, dict)
    for name in ("lines", "best"):
        made[name] = [_line(line) for line in getattr(report, name)]
    return made


def _line(line: Line) -> dict[str, Any]:
    made = plain(line)
    assert isinstance(made, dict)
    provider = made["provider"]
    provider["software"] = sorted(line.provider.software)
    return made
