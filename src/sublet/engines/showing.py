"""What an engine shows of its runs, kept from one look to the next: a look costs what has changed, and says what that is.

A fleet has a hundred thousand runs, and between two looks a few of them move. Whoever keeps them in a `Showcase` hands out
each look without a copy of all the others, and the looks can tell in what they differ.
"""

from collections.abc import Iterator, Mapping
from itertools import chain, islice

from sublet.core.ids import RunId
from sublet.engines.protocol import Seen

_PARTS = 1_024
_REMEMBERED = 100_000
"""So many changes are remembered for those who ask what is new."""


class Shown(Mapping[RunId, Seen]):
    """One look: every run known, as it was then. It stays what it is, whatever is seen later."""

    __slots__ = ("_parts", "journal", "upto")

    def __init__(self, parts: tuple[dict[RunId, Seen], ...], journal: "Journal", upto: int) -> None:
        """`parts`: the runs, by the remainder of their hash, never to be changed again; `upto`: the changes made by then."""
        self._parts, self.journal, self.upto = parts, journal, upto

    def __getitem__(self, run: RunId) -> Seen:
        """What is seen of a run."""
        return self._parts[hash(run) % _PARTS][run]

    def __iter__(self) -> Iterator[RunId]:
        """All runs, in no order."""
        return chain.from_iterable(self._parts)

    def __len__(self) -> int:
        """How many runs there are."""
        return sum(map(len, self._parts))

    def changed_since(self, earlier: Mapping[RunId, Seen] | None) -> frozenset[RunId] | None:
        """The runs that came, went or changed after an earlier look; None if that is not known, and any may have."""
        if not isinstance(earlier, Shown) or earlier.journal is not self.journal:
            return None
        return self.journal.between(earlier.upto, self.upto)


class Journal:
    """Which runs changed, in the order in which they did."""

    def __init__(self) -> None:
        """Nothing has changed yet."""
        self._first, self._names = 0, list[RunId]()

    def __len__(self) -> int:
        """How many changes there ever were."""
        return self._first + len(self._names)

    def note(self, run: RunId) -> None:
        """This run has changed."""
        self._names.append(run)
        if len(self._names) > 2 * _REMEMBERED:
            self._first += _REMEMBERED
            self._names = self._names[_REMEMBERED:]

    def between(self, lower: int, upper: int) -> frozenset[RunId] | None:
        """The runs of the changes from one number to another; None if some of them are remembered no longer."""
        names, first = self._names, self._first
        return None if lower < first else frozenset(islice(names, lower - first, upper - first))


class Showcase:
    """The runs as they were last seen. One thread at a time may change it; what it has shown may be read by any."""

    def __init__(self) -> None:
        """Nothing is seen yet."""
        self._parts: list[dict[RunId, Seen]] = [{} for _ in range(_PARTS)]
        self._journal = Journal()
        self._given: set[int] = set()  # parts that a look has: they are copied before they change

    def put(self, run: RunId, seen: Seen) -> None:
        """This is what a run looks like now."""
        number = hash(run) % _PARTS
        if self._parts[number].get(run) != seen:
            self._own(number)[run] = seen
            self._journal.note(run)

    def drop(self, run: RunId) -> None:
        """There is no such run any more."""
        number = hash(run) % _PARTS
        if run in self._parts[number]:
            del self._own(number)[run]
            self._journal.note(run)

    def shown(self) -> Shown:
        """The look of now."""
        self._given = set(range(_PARTS))
        return Shown(tuple(self._parts), self._journal, len(self._journal))

    def _own(self, number: int) -> dict[RunId, Seen]:
        """A part that no look has."""
        if number in self._given:
            self._given.discard(number)
            self._parts[number] = dict(self._parts[number])
        return self._parts[number]
