"""Residency where it binds: before a lease, a block, a replica or a file is given a place, and in the audit log afterwards.

`Atlas` is what is known of sites and tenants in one transaction. Its verdicts are kept, so that asking again costs a look-up;
an atlas is thrown away with its transaction, or when a site or tenant changed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from sublet.app.tasks import LeaseRequest
from sublet.core.errors import NotFound, ResidencyDenied
from sublet.core.ids import LeaseId, TenantId
from sublet.core.lease import Lease
from sublet.core.residency import Judgement, Label, Party, Place, Purpose, judge
from sublet.core.residency.words import check_residency, nearest
from sublet.core.site import Site
from sublet.core.terms import Pool
from sublet.store import audit_log, pools, sites, tenants, workloads
from sublet.store.database import Database, Tx

VERDICTS = "residency.verdicts"
"""The kind of an entry of the audit log that holds verdicts."""
_KEPT = (Purpose.CHECKPOINT, Purpose.LOG)


@dataclass(frozen=True, slots=True)
class Atlas:
    """Sites and seats as they are known. A site without settings has no facts; a tenant that is absent has no known seat."""

    sites: Mapping[str, Site]
    seats: Mapping[TenantId, str]
    _asked: dict[object, Judgement] = field(default_factory=dict)

    @classmethod
    def read(cls, tx: Tx, known_tenants: Iterable[TenantId]) -> "Atlas":
        """What the database knows of every site and of these tenants."""
        return cls({site.id: site for site in sites.everything(tx)}, tenants.countries(tx, known_tenants))

    def site(self, name: str) -> Site:
        """A site, without facts where it has no settings."""
        return self.sites.get(name) or Site(name)

    def judge(self, label: Label, tenant: TenantId, site: str, *purposes: Purpose, accelerator: str | None = None) -> Judgement:
        """What all rules say of data at a site: to keep it there, or with an accelerator to run it there."""
        key = (label, tenant, site, purposes, accelerator)
        if key not in self._asked:
            self._asked[key] = judge(label, self.site(site).place(accelerator), self.party(tenant), *purposes)
        return self._asked[key]

    def of_lease(self, label: Label, tenant: TenantId, site: str, gpu_model: str | None) -> tuple[Judgement, ...]:
        """For a lease: its placement, and where its checkpoints and logs are kept, which may be elsewhere."""
        runs = self.site(site)
        kept = {Purpose.CHECKPOINT: runs.checkpoints_at or site, Purpose.LOG: runs.logs_at or site}
        here = tuple(purpose for purpose in _KEPT if kept[purpose] == site)
        elsewhere = [(purpose, kept[purpose]) for purpose in _KEPT if kept[purpose] != site]
        return (
            self.judge(label, tenant, site, Purpose.PLACEMENT, *here, accelerator=gpu_model),
            *(self.judge(label, tenant, place, purpose) for purpose, place in elsewhere),
        )

    def door(self, label: Label, tenant: TenantId, known: Sequence[Pool]) -> Callable[[Pool], "Bound"]:
        """What all rules say of a lease in a pool; raises `Invalid` for a label that names a place which nobody knows."""
        if label.silent and not self.sites and tenant not in self.seats:
            return lambda _: Bound((), ())  # nobody has stated anything: no rule speaks
        check_residency(label.residency, {*self.sites, *(pool.site for pool in known)})
        return lambda pool: Bound((), self.of_lease(label, tenant, pool.site, pool.gpu_model))

    def party(self, tenant: TenantId) -> Party:
        """A tenant as rules see it."""
        return Party(tenant, self.seats.get(tenant))


@dataclass(frozen=True, slots=True)
class Bound:
    """Judgements that bind some subjects: leases, orders, files; equal ones are told once."""

    subjects: tuple[str, ...]
    judgements: tuple[Judgement, ...]

    @property
    def allowed(self) -> bool:
        """Whether all of them allow it."""
        return all(one.allowed for one in self.judgements)


class Denied(ResidencyDenied):
    """As `ResidencyDenied`, with the judgements, which are to be recorded although the transaction is undone."""

    def __init__(self, what: str, bound: Sequence[Bound], *, hint: str | None = None) -> None:
        denials = [one for each in bound for one in each.judgements if not one.allowed]
        said = "; ".join(dict.fromkeys(f"{one.place.name}: {one.reason}" for one in denials[:_TOLD]))
        ways_out = [one.hint for one in denials if one.hint]
        super().__init__(f"{what}: {said}", field="lease.residency", hint=hint or (ways_out[0] if ways_out else None))
        self.bound = tuple(bound)


_TOLD = 4
_RECORDED = 20


def ask(
    tx: Tx,
    label: Label,
    *,
    tenant: TenantId,
    site: str,
    purpose: Purpose,
    subject: str,
    now_us: int,
    accelerator: str | None = None,
    atlas: Atlas | None = None,
) -> Judgement:
    """May this data be at a site, for a replica, a batch file, fine-tune data: the judgement, recorded; raises `Denied` if not.

    Call it last in a transaction, see `record`. Who asks often keeps an `Atlas`, asks `Atlas.judge`, and records many at once.
    """
    judged = (atlas or Atlas.read(tx, [tenant])).judge(label, tenant, site, purpose, accelerator=accelerator)
    bound = [Bound((subject,), (judged,))]
    if not judged.allowed:
        raise Denied(f"{subject} may not be at {site} ({purpose})", bound)
    record(tx, bound, now_us=now_us)
    return judged


@dataclass(frozen=True, slots=True)
class Preview:
    """What all rules say of a task at one site, on one model of GPUs."""

    site: str
    accelerator: str | None
    pools: tuple[str, ...]
    judgements: tuple[Judgement, ...]

    @property
    def allowed(self) -> bool:
        """Whether its data may be there, with its checkpoints and logs."""
        return all(one.allowed for one in self.judgements)


def preview(tx: Tx, asked: LeaseRequest, *, tenant: TenantId, site: str | None) -> tuple[Party, list[Preview]]:
    """What would be said of a task at each site where a pool could run it, or at one; nothing is recorded."""
    tenants.get(tx, tenant)
    atlas, rows = Atlas.read(tx, [tenant]), [row.pool for row in pools.everything(tx)]
    atlas.door(asked.label, tenant, rows)
    known = {*atlas.sites, *(pool.site for pool in rows)}
    if site is not None and site not in known:
        near = nearest(site, known)
        hint = f"did you mean {near}?" if near else f"sites: {', '.join(sorted(known)) or 'none yet'}"
        raise NotFound(f"there is no site {site!r}", field="site", hint=hint)
    found: dict[tuple[str, str | None], list[str]] = {}
    for pool in rows:
        fits = asked.pool in {None, pool.id} and (asked.gpu_model or pool.gpu_model).lower() == pool.gpu_model.lower()
        if fits and site in {None, pool.site}:
            found.setdefault((pool.site, pool.gpu_model), []).append(pool.id)
    if site is not None and not found:
        found[site, asked.gpu_model] = []
    told = [
        Preview(where, model, tuple(named), atlas.of_lease(asked.label, tenant, where, model))
        for (where, model), named in sorted(found.items(), key=str)
    ]
    return atlas.party(tenant), told


def judged_leases(tx: Tx, wanted: Sequence[Lease]) -> dict[LeaseId, tuple[Judgement, ...]]:
    """What all rules say of each lease in its pool now; one on which no rule speaks is absent."""
    labels = workloads.labels(tx, [lease.id for lease in wanted])
    atlas = Atlas.read(tx, [lease.tenant for lease in wanted])
    if not labels and not atlas.seats and not any(site.regimes for site in atlas.sites.values()):
        return {}
    sold = {row.pool.id: row.pool for row in pools.everything(tx)}
    found = {}
    for lease in wanted:
        pool = sold[lease.pool]
        judged = atlas.of_lease(labels.get(lease.id, Label()), lease.tenant, pool.site, pool.gpu_model)
        if any(one.spoken or not one.allowed for one in judged):
            found[lease.id] = judged
    return found


def record(tx: Tx, bound: Iterable[Bound], *, now_us: int) -> None:
    """Write verdicts to the audit log, all of them as one entry. Those on which no rule spoke bound nothing and are left out.

    Call it last in a transaction: what follows must take no lock (see `store.audit_log`).
    """
    told = [_document(one) for one in bound if any(judged.spoken or not judged.allowed for judged in one.judgements)]
    if told:
        audit_log.append(tx, at_us=now_us, kind=VERDICTS, document={"bound": told})


def record_denial(database: Database, denied: Denied, *, now_us: int) -> None:
    """Write the verdicts of a refused request, whose own transaction is undone."""
    with database.write() as tx:
        record(tx, denied.bound[:_RECORDED], now_us=now_us)


def _document(bound: Bound) -> dict[str, object]:
    return {
        "subjects": list(bound.subjects),
        "allowed": bound.allowed,
        "judgements": [
            {
                "purposes": list(one.purposes),
                "allowed": one.allowed,
                "label": _short(one.label),
                "place": _short(one.place),
                "tenant": _short(one.tenant),
                "verdicts": [
                    {"rule": said.rule, "allows": said.allows, "reason": said.reason, "source": str(said.source)}
                    for said in one.verdicts
                ],
            }
            for one in bound.judgements
        ],
    }


def _short(value: Label | Place | Party) -> dict[str, object]:
    """What a value states; what it leaves open is left away."""
    return {name: stated for name, stated in asdict(value).items() if stated not in {None, ()}}


def grouped(judged: Mapping[LeaseId, tuple[Judgement, ...]]) -> list[Bound]:
    """Subjects with the same judgements told together."""
    together: dict[tuple[Judgement, ...], list[str]] = {}
    for subject, judgements in judged.items():
        together.setdefault(judgements, []).append(subject)
    return [Bound(tuple(subjects), judgements) for judgements, subjects in together.items()]
