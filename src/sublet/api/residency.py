"""Residency: which data may be where, and by which rules."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from sublet.api.bodies import NAME_PATTERN
from sublet.api.call import Calling, only
from sublet.api.leases import ForTenant
from sublet.app import residency
from sublet.app.keys import Scope
from sublet.app.residency import Preview
from sublet.app.tasks import Task
from sublet.core.residency import RULES, Judgement, Label, Source
from sublet.core.residency.lists import adequacy
from sublet.core.residency.lists.accelerators import SOURCE as ACCELERATORS
from sublet.core.residency.lists.blocs import BLOCS
from sublet.core.residency.lists.countries import SOURCE as COUNTRIES
from sublet.core.residency.lists.regimes import REGIMES
from sublet.core.residency.lists.terms import CERTIFICATIONS, KINDS, SAFEGUARDS

router = APIRouter(prefix="/v1/residency", tags=["residency"])
_ANYBODY = [only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)]


class SourceView(BaseModel):
    """Where a rule or a list comes from."""

    model_config = ConfigDict(from_attributes=True)

    title: str
    url: str
    as_of: str = Field(description="the day on which it stood so")

    @classmethod
    def of(cls, source: Source) -> "SourceView":
        """As the API shows it."""
        return cls.model_validate(source)


class RuleView(BaseModel):
    """A residency rule."""

    name: str
    says: str
    source: SourceView


class ListView(BaseModel):
    """A dated list that rules read."""

    name: str
    source: SourceView


class RuleList(BaseModel):
    """All rules, in the order in which verdicts are told, and the lists that they read."""

    items: list[RuleView]
    lists: list[ListView]


class WordView(BaseModel):
    """A word that a task or a site may state."""

    kind: str = Field(description="bloc, regime, data, safeguard or certification")
    name: str
    title: str
    said_by: list[str] = Field(description="who may state it: task, site")
    source: SourceView | None = None


class WordList(BaseModel):
    """All words beside the countries of ISO 3166-1."""

    items: list[WordView]


class VerdictView(BaseModel):
    """What one rule says."""

    rule: str
    allows: bool
    reason: str
    hint: str | None
    source: SourceView


class JudgementView(BaseModel):
    """What all rules say of one place."""

    purposes: list[str]
    place: str
    country: str | None
    allowed: bool
    reason: str
    hint: str | None
    verdicts: list[VerdictView]

    @classmethod
    def of(cls, judged: Judgement) -> "JudgementView":
        """As the API shows it."""
        verdicts = [
            VerdictView(rule=one.rule, allows=one.allows, reason=one.reason, hint=one.hint, source=SourceView.of(one.source))
            for one in judged.verdicts
        ]
        return cls(
            purposes=list(judged.purposes),
            place=judged.place.name,
            country=judged.place.country,
            allowed=judged.allowed,
            reason=judged.reason,
            hint=judged.hint,
            verdicts=verdicts,
        )


class PreviewView(BaseModel):
    """One site with one model of GPUs."""

    site: str
    accelerator: str | None
    pools: list[str]
    allowed: bool
    judgements: list[JudgementView]

    @classmethod
    def of(cls, seen: Preview) -> "PreviewView":
        """As the API shows it."""
        judgements = [JudgementView.of(one) for one in seen.judgements]
        return cls(
            site=seen.site, accelerator=seen.accelerator, pools=list(seen.pools), allowed=seen.allowed, judgements=judgements
        )


class CheckView(BaseModel):
    """What would be said of a task. Nothing was written."""

    tenant: str
    seat: str | None
    label: Label
    allowed: bool = Field(description="whether any of the places is allowed")
    places: list[PreviewView]


_LISTS: tuple[tuple[str, Source], ...] = (
    ("countries", COUNTRIES),
    *((f"bloc {name}", bloc.source) for name, bloc in BLOCS.items()),
    ("adequacy, GDPR", adequacy.GDPR.source),
    ("adequacy, UK GDPR", adequacy.UK_GDPR.source),
    ("adequacy, Swiss FADP", adequacy.SWISS_FADP.source),
    ("accelerators and seats", ACCELERATORS),
)


@router.get("/rules", dependencies=_ANYBODY)
def rules() -> RuleList:
    """All rules with their sources and the days of their lists."""
    items = [RuleView(name=name, says=rule.says, source=SourceView.of(rule.source)) for name, rule in RULES.items()]
    return RuleList(items=items, lists=[ListView(name=name, source=SourceView.of(source)) for name, source in _LISTS])


@router.get("/words", dependencies=_ANYBODY)
def words() -> WordList:
    """All words that tasks and sites may state."""
    site, task, both = ["site"], ["task"], ["task", "site"]
    found = [("bloc", name, bloc.title, task, bloc.source) for name, bloc in BLOCS.items()]
    found += [("regime", name, one.title, both if one.judged_by else site, one.source) for name, one in REGIMES.items()]
    items = [
        WordView(kind=kind, name=name, title=title, said_by=who, source=SourceView.of(source))
        for kind, name, title, who, source in found
    ]
    for name, kind in KINDS.items():
        source = None if kind.source is None else SourceView.of(kind.source)
        items.append(WordView(kind="data", name=name, title=kind.title, said_by=task, source=source))
    items += [WordView(kind="safeguard", name=name, title=title, said_by=both) for name, title in SAFEGUARDS.items()]
    items += [WordView(kind="certification", name=name, title=title, said_by=site) for name, title in CERTIFICATIONS.items()]
    return WordList(items=items)


@router.post("/check", dependencies=[only(Scope.TENANT)])
def check(
    body: Task, call: Calling, tenant: ForTenant = None, site: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None
) -> CheckView:
    """Every verdict about a task, at each site that could run it or at one. Writes nothing, not even to the audit log."""
    asked = body.request()
    whose = call.caller.tenant_for(tenant)
    with call.read() as tx:
        party, found = residency.preview(tx, asked, tenant=whose, site=site)
    places = [PreviewView.of(one) for one in found]
    return CheckView(
        tenant=party.name, seat=party.country, label=asked.label, allowed=any(one.allowed for one in places), places=places
    )
