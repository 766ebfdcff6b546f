"""What bodies of requests share: an unknown field is a mistake, and the mistake is explained from the model."""

from typing import Annotated, get_type_hints

from fastapi import Path, Request
from pydantic import BaseModel, ConfigDict, Field

from sublet.app.quantities import Text

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, description="letters, digits, dot, dash and underscore; 64 at most")]
InPath = Annotated[str, Path(pattern=NAME_PATTERN)]
Label = Annotated[Text, Field(min_length=1, max_length=128)]
Micro = Annotated[int, Field(strict=True, ge=0, le=10**15, description="micro-units of currency")]


class Body(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def body_model(request: Request) -> type[BaseModel] | None:
    """The model that the route's `body` has to fit."""
    route = request.scope.get("route")
    endpoint = getattr(route, "endpoint", None)
    model = get_type_hints(endpoint).get("body") if endpoint is not None else None
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None
