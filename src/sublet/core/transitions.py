"""A lifecycle is a table; this is how it is walked."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from sublet.core.errors import IllegalStep

State = TypeVar("State")
Event = TypeVar("Event")


def walked(table: Mapping[tuple[State, Event], State], state: State, events: Iterable[Event], kind: str, name: str) -> State:
    """The state after `events`, one after the other; raises `IllegalStep` about the `kind` of this `name`."""
    for event in events:
        target = table.get((state, event))
        if target is None:
            raise IllegalStep(f"{kind} {name} is {state}: it cannot take {event}")
        state = target
    return state
