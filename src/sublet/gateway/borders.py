"""Where a tenant's words may go: the verdicts of all residency rules on replicas and files, read on every second.

A tenant states with its terms where its data may be. What nobody states binds nothing; what is stated and not known is denied,
and nothing is sent. Each verdict that a rule speaks is written to the audit log once for a tenant, a place and what was stated.
"""

from collections.abc import Iterable

from sublet.app.clock import Clock
from sublet.app.residency import Atlas, Bound, record
from sublet.core.ids import TenantId
from sublet.core.model import Replica
from sublet.core.residency import Judgement, Label, Purpose
from sublet.gateway.refusals import Refusal
from sublet.gateway.threads import Thread
from sublet.gateway.visitors import Guest
from sublet.store.database import Database

EVERY_S = 1.0
_KNOWN_MAX = 100_000
_Asked = tuple[Label, TenantId, str, Purpose]


class Borders:
    """What is known of sites and seats, and what was asked. `site` is where this gateway and its files are."""

    def __init__(self, database: Database, clock: Clock, looking: Thread, books: Thread, *, site: str) -> None:
        self._database, self._clock, self._looking, self._books = database, clock, looking, books
        self._site = site
        self._atlas = Atlas({}, {})
        self._seats: frozenset[TenantId] = frozenset()  # tenants whose seats were looked up
        self._reasons: dict[_Asked, str] = {}  # what this atlas says; asking again costs a look-up
        self._told: set[Judgement] = set()
        self._untold: dict[Judgement, str] = {}  # with what was asked about

    def verdict(self, guest: Guest, replica: Replica) -> str:
        """Whether a tenant's words may go to a replica: empty, or why not."""
        return self._judged(guest, replica.site, Purpose.REPLICA, replica.id)

    @property
    def site(self) -> str:
        """Where this gateway and its files are; empty: not stated."""
        return self._site

    def check_file(self, guest: Guest, purpose: str) -> None:
        """Raise `Refusal` where a tenant's file may not be kept here."""
        what = Purpose.FINE_TUNE if purpose == "fine-tune" else Purpose.BATCH_FILE
        if reason := self._judged(guest, self._site, what, f"file of {guest.tenant}"):
            message = f"your files may not be kept at this gateway: {reason}; nothing was kept"
            raise Refusal(403, message, param="file", code="data_residency_mismatch")

    @staticmethod
    def of_tuning(atlas: Atlas, guest: Guest, site: str) -> str:
        """Whether a tenant's training file may be at a site, and a run that reads it: empty, or why not."""
        judged = atlas.judge(guest.terms.label, guest.tenant, site, Purpose.FINE_TUNE, Purpose.PLACEMENT)
        return "" if judged.allowed else judged.reason

    def knows(self, guest: Guest) -> bool:
        """Whether this tenant's seat was looked up: before that nothing may be judged."""
        return guest.tenant in self._seats

    async def refresh(self, guests: Iterable[Guest]) -> None:
        """Read on, and write down what was judged."""
        known = [guest.tenant for guest in guests]

        def read() -> Atlas:
            with self._database.read() as tx:
                return Atlas.read(tx, known)

        atlas = await self._looking.do(read)
        self._seats = frozenset(known)
        if (atlas.sites, atlas.seats) != (self._atlas.sites, self._atlas.seats):
            self._atlas, self._reasons = atlas, {}
        if self._untold:
            untold, self._untold = self._untold, {}
            try:
                await self._books.do(lambda: self._tell([Bound((subject,), (one,)) for one, subject in untold.items()]))
            except BaseException:
                self._untold = untold | self._untold  # what could not be written is told the next time
                raise

    def _judged(self, guest: Guest, site: str, purpose: Purpose, subject: str) -> str:
        label, atlas = guest.terms.label, self._atlas
        if label.silent and not atlas.sites and guest.tenant not in atlas.seats:
            return ""  # nobody has stated anything: no rule speaks
        asked = (label, guest.tenant, site, purpose)
        known = self._reasons.get(asked)
        if known is not None:
            return known
        judged = atlas.judge(label, guest.tenant, site, purpose)
        if judged not in self._told and len(self._told) < _KNOWN_MAX:
            self._told.add(judged)
            self._untold[judged] = subject
        return self._reasons.setdefault(asked, "" if judged.allowed else judged.reason)

    def _tell(self, bound: list[Bound]) -> None:
        with self._database.write() as tx:
            record(tx, bound, now_us=self._clock.now_us())
