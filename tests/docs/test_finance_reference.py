"""The reference of scenarios has every field with its default and unit, and the shipped ones and claims are all told of."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pages import page
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sublet.advice.finance import shipped
from sublet.advice.finance.claims import CLAIMS
from sublet.advice.finance.report import Report
from sublet.advice.finance.scenario_file import ScenarioFile
from sublet.advice.finance.sheets import SHEETS
from sublet.advice.finance.turned import TURNS


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field of the file as people write it."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        inner = model_in(field.annotation)
        if inner is None:
            yield path, field
        else:
            yield from fields(inner, f"{path}.")


def model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := model_in(part))), None)


def shown(field: FieldInfo) -> str:
    """A default as the table has it."""
    if field.is_required():
        return "must be given"
    extra = field.json_schema_extra
    unit = extra["unit"] if isinstance(extra, dict) else ""
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"`{value}`"
    if str(unit).startswith("{currency}"):
        value /= 1_000_000
    return f"{value:,.10g}"


def test_every_field_is_there_with_its_default_and_unit() -> None:
    rows = {row[0].strip("`"): row for row in page("docs/reference/finance.md").rows() if len(row) == 4}
    for path, field in fields(ScenarioFile):
        extra = field.json_schema_extra
        unit = str(extra["unit"]).replace("{currency}", "currency") if isinstance(extra, dict) else ""
        assert path in rows, path
        assert rows[path][1:3] == (shown(field), unit), path
        assert field.description and rows[path][3], path


def test_keys_of_the_document_tables_turns_and_claims_are_there() -> None:
    text = page("docs/reference/finance.md").text
    told: Mapping[str, Any] = {**Report.__dataclass_fields__, **TURNS, **{make.__name__: 0 for make in SHEETS}}
    for name in told:
        assert f"`{name}`" in text, name
    about = page("docs/finance.md").text
    for name in (*CLAIMS, *shipped.NAMES):
        assert name in about, name
