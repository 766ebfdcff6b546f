"""Residency rules, one a file; a new one is a file, a row here and a page in the docs.

The order is that in which verdicts are told. Every rule is asked; a denial of any of them wins.
"""

from collections.abc import Mapping

from sublet.core.residency.rules import (
    eu_ai_act,
    gdpr_transfer,
    jurisdiction,
    known_words,
    operator_reach,
    regime_needs,
    sensitivity,
    site_facts,
    stays_home,
    swiss_transfer,
    uk_transfer,
    us_export,
)
from sublet.core.residency.values import Rule

RULES: Mapping[str, Rule] = {
    "known-words": known_words.RULE,
    "site-facts": site_facts.RULE,
    "jurisdiction": jurisdiction.RULE,
    "sensitivity": sensitivity.RULE,
    "stays-home": stays_home.RULE,
    "gdpr-transfer": gdpr_transfer.RULE,
    "uk-transfer": uk_transfer.RULE,
    "swiss-transfer": swiss_transfer.RULE,
    "eu-ai-act": eu_ai_act.RULE,
    "operator-reach": operator_reach.RULE,
    "regime-needs": regime_needs.RULE,
    "us-export": us_export.RULE,
}

__all__ = ["RULES"]
