"""Where a tenant's words may go: what all residency rules say of a replica's site, as sites and tenants stand now."""

from collections.abc import Iterable, Mapping

from sublet.core.model import Replica
from sublet.core.residency import Judgement, Label, Party, Purpose, denials, judge
from sublet.core.site import Site
from sublet.gateway.visitors import Guest

_Asked = tuple[Label, Party, str]
_UNALLOWED = "nothing allows it"


class Borders:
    """Verdicts about words and sites. They are kept until a site changes, so that asking again costs a look-up."""

    def __init__(self) -> None:
        self._sites: Mapping[str, Site] = {}
        self._judged: dict[_Asked, Judgement] = {}

    def know(self, sites: Iterable[Site]) -> None:
        """The sites as they stand."""
        known = {site.id: site for site in sites}
        if known != self._sites:
            self._sites, self._judged = known, {}

    def verdict(self, guest: Guest, replica: Replica) -> str:
        """Empty where the words of this tenant may go to the replica; else the rules that forbid it.

        A site without facts, and an address outside, is denied to whoever states anything about their words.
        """
        asked = (guest.terms.label, Party(guest.tenant, guest.country), replica.site)
        found = self._judged.get(asked)
        if found is None:
            label, party, name = asked
            place = (self._sites.get(name) or Site(name)).place(None)
            found = self._judged[asked] = judge(label, place, party, Purpose.REPLICA)
        if found.allowed:
            return ""
        return ", ".join(said.rule for said in denials(found.verdicts)) or _UNALLOWED
