"""The JSON document of a report: the whole value with what follows from each month.

Keys are sorted, so that the same scenario gives the same bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from sublet.advice.finance.lines import UnitLine
from sublet.advice.finance.report import Report
from sublet.core.finance.accounts import Flows

DERIVED: Mapping[type, tuple[str, ...]] = {
    Flows: (
        "cost_micro", "net_revenue_micro", "margin_micro", "contribution_micro", "incremental_micro", "full_cost_micro",
        "full_margin_micro", "result_micro", "leasing_cash_micro", "cash_flow_micro",
    ),
    UnitLine: ("variable_micro", "standing_micro", "full_micro"),
}  # fmt: skip
"""What follows from other fields and is written beside them."""


def document(report: Report) -> dict[str, Any]:
    """The report as JSON values."""
    made = plain(report)
    assert isinstance(made, dict)
    return made


def text_of(report: Report) -> str:
    """The document as text, with a line's end at its end."""
    return json.dumps(document(report), sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def plain(value: Any) -> Any:
    """Dataclasses and mappings as objects, tuples as lists."""
    if is_dataclass(value):
        names = [one.name for one in fields(value)] + list(DERIVED.get(type(value), ()))
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value
