"""Pricing policies, one a file; a new one is a file, a row here and a page in the docs."""

from collections.abc import Mapping

from sublet.core.pricing.clearing import Bids, Clearing, Market, Pricing
from sublet.core.pricing.fixed import fixed
from sublet.core.pricing.uniform import uniform

PRICING: Mapping[str, Pricing] = {"fixed": fixed, "uniform": uniform}

__all__ = ["PRICING", "Bids", "Clearing", "Market", "Pricing"]
