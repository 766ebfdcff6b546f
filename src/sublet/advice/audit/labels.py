"""Labels: what a site says of its jobs, by patterns of user, organisation, pool and name. The first that fits counts."""

import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from sublet.app.complaints import InvalidFields, explain
from sublet.app.quantities import Hours, Text
from sublet.core.audit.group import Told
from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US

EXAMPLE = 'write [[label]] with user, org, pool or name = "pattern*" and sensitivity = "confidential"'
Pattern = Annotated[Text, Field(min_length=1, max_length=200)]


class Label(BaseModel):
    """`[[label]]`: whose jobs, and what is said of them. Patterns as in a shell: `*`, `?`, `[abc]`; case does not matter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: Pattern = "*"
    org: Pattern = "*"
    pool: Pattern = "*"
    name: Pattern = "*"
    sensitivity: Literal["public", "internal", "confidential", "restricted"] | None = None
    kind: Literal["batch", "interactive", "inference"] | None = None
    checkpoints: StrictBool | None = None
    slack: Hours | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Label":
        if self.sensitivity is None and self.kind is None and self.checkpoints is None and self.slack is None:
            raise ValueError("it says nothing: give sensitivity, kind, checkpoints or slack")
        return self

    def fits(self, job: Sequence[str]) -> bool:
        """Whether a job of (user, org, pool, name), in lower case, is meant."""
        patterns = (self.user, self.org, self.pool, self.name)
        return all(fnmatchcase(text, pattern.lower()) for text, pattern in zip(job, patterns, strict=True))

    def told(self, number: int) -> Told:
        """As the core takes it."""
        slack_h = None if self.slack is None else self.slack / HOUR_US
        return Told(f"{number + 1}", self.sensitivity, self.kind, self.checkpoints, slack_h)


class LabelsFile(BaseModel):
    """All labels of a site."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: Annotated[tuple[Label, ...], Field(max_length=1_000)] = ()


def read_labels(path: Path | None) -> tuple[Label, ...]:
    """The labels in a TOML file; none without one."""
    if path is None:
        return ()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", field="labels", hint="check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} is no TOML: {error}", field="labels", hint=EXAMPLE) from error
    return checked(values, str(path))


def checked(values: Mapping[str, Any], what: str) -> tuple[Label, ...]:
    """Fields that were read."""
    try:
        return LabelsFile.model_validate(values).label
    except ValidationError as error:
        raise InvalidFields(what, explain(error.errors(), LabelsFile)) from error


def label_of(labels: Sequence[Label], job: Sequence[str | None]) -> int:
    """The number of the first label that fits a job of (user, org, pool, name); -1: none does."""
    words = [(text or "").lower() for text in job]
    return next((number for number, label in enumerate(labels) if label.fits(words)), -1)
