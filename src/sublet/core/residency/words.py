"""How people write countries, blocs and the keys of the lists, and what they meant where a word is unknown."""

import difflib
from collections.abc import Iterable, Mapping
from functools import cache

from sublet.core.errors import Invalid
from sublet.core.residency.lists.blocs import BLOCS
from sublet.core.residency.lists.countries import COUNTRIES
from sublet.core.residency.values import Label, Sensitivity

SITE = "site:"
_ALSO = {"uk": "GB", "el": "GR", "usa": "US", "great britain": "GB", "russia": "RU", "south korea": "KR", "turkey": "TR"}
"""Names in common use that ISO 3166 does not have."""


@cache
def _names() -> Mapping[str, str]:
    """Every way to write a country, in small letters: its code."""
    named = {name.lower(): code for code, row in COUNTRIES.items() for name in row}
    return {**{code.lower(): code for code in COUNTRIES}, **named, **_ALSO}


@cache
def _blocs() -> Mapping[str, str]:
    return {name.lower(): code for code, bloc in BLOCS.items() for name in (code, bloc.title)}


def country_name(code: str | None) -> str:
    """What a country is called, with its code; an unknown code is said as it is."""
    if code is None:
        return "a country that is not stated"
    return f"{COUNTRIES[code][1]} ({code})" if code in COUNTRIES else repr(code)


def country_of(text: str) -> str:
    """The alpha-2 code of a country by its code or English name; raises `Invalid` with the nearest name."""
    code = _names().get(text.strip().lower())
    if code is None:
        near = nearest(text, _names())
        hint = f"did you mean {country_name(_names()[near])}?" if near else "write its ISO 3166 code, for example DE"
        raise Invalid(f"there is no country {text!r}", field="country", hint=hint)
    return code


def countries_of(item: str) -> frozenset[str] | None:
    """The countries that an item of a residency stands for; None: it is the name of a site."""
    word = item.strip().lower()
    if word.startswith(SITE):
        return None
    if word in _blocs():
        return BLOCS[_blocs()[word]].members
    return frozenset({_names()[word]}) if word in _names() else None


def site_of(item: str) -> str:
    """The site that an item names which stands for no country."""
    return item.strip().removeprefix(SITE)


def names_sites_only(label: Label) -> bool:
    """Whether a workload states sites by name and nothing else: then no fact of a place is asked for."""
    stated = label.data or label.regimes or label.sensitivity is not Sensitivity.PUBLIC
    return bool(label.residency) and not stated and all(countries_of(item) is None for item in label.residency)


def written(item: str) -> str:
    """An item of a residency as it is kept: the code of its country or bloc, or the site's name as it was given."""
    word = item.strip().lower()
    return _blocs().get(word) or _names().get(word) or item.strip()


def check_residency(items: Iterable[str], sites: Iterable[str]) -> None:
    """Raise `Invalid` with the nearest name for an item that is no country, no bloc and none of these sites."""
    known = sorted(set(sites))
    for item in items:
        if countries_of(item) is None and site_of(item) not in known:
            near = nearest(site_of(item), [*known, *_blocs(), *_names()], cutoff=0.7)
            hint = (
                f"did you mean {written(near)}?" if near else f"sites: {', '.join(known) or 'none'}; blocs: {', '.join(BLOCS)}"
            )
            raise Invalid(f"{item!r} is no country, no bloc and no site", field="lease.residency", hint=hint)


def checked_keys(items: Iterable[str], known: Iterable[str], *, what: str) -> tuple[str, ...]:
    """Keys of a list as they are kept; raises `ValueError` with the nearest for one that is not in it."""
    keys = list(known)
    kept = tuple(dict.fromkeys(item.strip().lower().replace("_", "-").replace(" ", "-") for item in items))
    for item in kept:
        if item not in keys:
            near = nearest(item, keys)
            way_out = f"did you mean {near}?" if near else f"choose from {', '.join(keys)}"
            raise ValueError(f"there is no {what} {item!r}: {way_out}")
    return kept


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word that looks most like it, if any does."""
    found = difflib.get_close_matches(word.strip().lower(), list(known), n=1, cutoff=cutoff)
    return found[0] if found else None
