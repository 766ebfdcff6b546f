"""Words that no list has: a workload that states one is kept away from everywhere, because nobody knows what it asks for."""

from collections.abc import Iterator

from sublet.core.residency.lists.regimes import for_workloads
from sublet.core.residency.lists.terms import KINDS, SAFEGUARDS
from sublet.core.residency.values import Finding, Label, Party, Place, Rule, Source, allow, deny


def known_words(label: Label, _place: Place, _tenant: Party) -> Finding | None:
    """Deny unless every regime, kind of data and safeguard that is stated is on its list."""
    if label.silent:
        return None
    strange = list(_strange(label))
    if strange:
        return deny(f"nobody knows what these ask for: {', '.join(strange)}", "`sublet residency rules` lists the words")
    return allow("every word that the workload states is known")


def _strange(label: Label) -> Iterator[str]:
    workload_regimes = for_workloads()
    yield from (f"regime {one!r}" for one in label.regimes if one not in workload_regimes)
    yield from (f"data kind {one!r}" for one in label.data if one not in KINDS)
    yield from (f"safeguard {one!r}" for one in label.safeguards if one not in SAFEGUARDS)


RULE = Rule(
    "What a workload states must be on the lists; an unknown word is denied everywhere.",
    Source("Sublet: unknown means deny", "docs/residency.md", "2026-11-26"),
    known_words,
)
