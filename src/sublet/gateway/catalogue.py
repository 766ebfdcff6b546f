"""The models and replicas that there are, as the database shows them, read again every tenth of a second."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sublet.core.ids import ModelName, TenantId
from sublet.core.model import Model, Replica, ReplicaState, Tier
from sublet.gateway.refusals import unknown_model
from sublet.gateway.routing import Line, Permits
from sublet.gateway.threads import Thread
from sublet.gateway.visitors import Guest
from sublet.store import models
from sublet.store.database import Database

EVERY_S = 0.12
_MODELS_EVERY = 5
"""Models change seldom: they are read with every so manieth look at the replicas, and whenever a name is not known."""

Verdict = Callable[[Guest, Replica], str]
"""Whether a tenant's words may go to a replica: empty, or why not."""


def everywhere(_guest: Guest, _replica: Replica) -> str:
    """The verdict where no residency rule is in force."""
    return ""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request may be answered: a model, and its replicas that the tenant's words may go to."""

    line: Line
    permits: Permits
    forbidden_by: str  # the rule that forbids all replicas there are; empty: not all are forbidden

    @property
    def model(self) -> Model:
        """The model."""
        return self.line.model


class Catalogue:
    """What can be asked."""

    def __init__(
        self, database: Database, thread: Thread, books: Thread, *, waiting_max: int, verdict: Verdict = everywhere
    ) -> None:
        self._database, self._thread, self._books = database, thread, books
        self._waiting_max, self._verdict = waiting_max, verdict
        self._lines: dict[ModelName, Line] = {}
        self._names: dict[str, ModelName] = {}
        self._looks = 0

    @property
    def lines(self) -> Mapping[ModelName, Line]:
        """The models with their replicas."""
        return self._lines

    async def refresh(self, *, whole: bool = False) -> None:
        """Read on."""
        whole = whole or self._looks % _MODELS_EVERY == 0
        self._looks += 1
        found, replicas = await self._thread.do(lambda: self._read(whole=whole))
        if found is not None:
            self._take(found)
        by_model: dict[ModelName, list[Replica]] = defaultdict(list)
        for replica in replicas:
            by_model[replica.model].append(replica)
        for name, line in self._lines.items():
            line.update(by_model[name])

    async def targets(self, name: str, guest: Guest) -> list[Target]:
        """Who may answer a request for `name`: the model itself, and then what its tenant has named for when it cannot.

        Raises `Refusal` 404 for a model that is not known, or is another tenant's.
        """
        asked = self._meant(name, guest.tenant)
        if asked is None:
            await self.refresh(whole=True)
            asked = self._meant(name, guest.tenant)
        if asked is None:
            raise unknown_model(name)
        others = guest.terms.fallbacks.get(name) or guest.terms.fallbacks.get(asked) or ()
        found = [self._target(asked, "", guest)]
        for other in others:
            said, _, site = other.partition("@")
            if (model := self._meant(said, guest.tenant)) is not None:
                found.append(self._target(model, site, guest))
        return found

    def visible(self, tenant: TenantId) -> list[Model]:
        """The models that a tenant can ask, by name."""
        every = (self._lines[name].model for name in sorted(self._lines))
        return [model for model in every if model.open_to(tenant)]

    def _meant(self, name: str, tenant: TenantId) -> ModelName | None:
        model = self._names.get(name)
        return model if model is not None and self._lines[model].model.open_to(tenant) else None

    async def note_asked(self, model: ModelName, tier: Tier, at_us: int) -> None:
        """Tell whoever keeps replicas that somebody found none."""

        def note() -> None:
            with self._database.write() as tx:
                models.note_asked(tx, model, tier, at_us=at_us)

        await self._books.do(note)

    def _target(self, name: ModelName, site: str, guest: Guest) -> Target:
        line, verdict = self._lines[name], self._verdict

        def permits(replica: Replica) -> bool:
            return (not site or replica.site == site) and not verdict(guest, replica)

        there = [post.replica for post in line.posts.values() if post.replica.state is not ReplicaState.GONE]
        rules = [verdict(guest, replica) for replica in there]
        return Target(line, permits, rules[0] if rules and all(rules) else "")

    def _read(self, *, whole: bool) -> tuple[list[Model] | None, list[Replica]]:
        with self._database.read() as tx:
            return models.everything(tx) if whole else None, models.living(tx)

    def _take(self, found: Sequence[Model]) -> None:
        for model in found:
            line = self._lines.get(model.name)
            if line is None:
                self._lines[model.name] = Line(model, waiting_max=self._waiting_max)
            else:
                line.model = model
        for name in set(self._lines) - {model.name for model in found}:
            self._lines.pop(name).update(())
        self._names = dict(_names(found))


def _names(found: Iterable[Model]) -> Iterable[tuple[str, ModelName]]:
    """Every name under which a model is asked for; a model's own name wins over another's alias."""
    for model in found:
        yield from ((alias, model.name) for alias in model.aliases)
    yield from ((str(model.name), model.name) for model in found)
