"""Charges as FOCUS 1.0 rows: the format in which cost tools read the bills of any provider.

A row is at most an hour of one attempt's billed time, or what a tenant's requests for one model and tier used on one day
(UTC); refunds and credits are rows of their own, negative, on the same resource. Columns that say nothing here are empty, as
the specification wants. Columns that begin with `x_` are ours.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby

from sublet.app.export.books import Books
from sublet.app.export.figures import cell, decimal, gpu_hours, gpu_seconds, instant, micros, moment
from sublet.app.export.table import csv_line
from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.core.invoice import OF_ATTEMPT, attempt_of
from sublet.core.lease import LeaseClass
from sublet.core.ledger import Purpose, Transfer, receivable
from sublet.core.model import TOKENS
from sublet.core.model_request import TokenDay
from sublet.core.rating import charge
from sublet.core.units import DAY_US, HOUR_US, MICRO
from sublet.core.usage import Usage, UsageKind

COLUMNS = (
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd",
    "ChargePeriodStart", "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName",
    "CommitmentDiscountStatus", "CommitmentDiscountType", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "ContractedUnitPrice", "EffectiveCost", "InvoiceIssuer", "ListCost", "ListUnitPrice", "PricingCategory",
    "PricingQuantity", "PricingUnit", "Provider", "Publisher", "RegionId", "RegionName", "ResourceId", "ResourceName",
    "ResourceType", "ServiceCategory", "ServiceName", "SkuId", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags",
    "x_Attempt", "x_Purpose", "x_Requests", "x_InputTokens", "x_CachedTokens", "x_OutputTokens",
)  # fmt: skip

_PRICING = {
    LeaseClass.SPOT: "Dynamic",  # the clearing price of the round that granted it
    LeaseClass.GUARDED: "Dynamic",  # the same, and the price of the risk
    LeaseClass.BLOCK: "Standard",  # fixed at purchase
    LeaseClass.DEDICATED: "Standard",
}
_CATEGORIES = {
    Purpose.REFUND: "Credit",
    Purpose.CREDIT: "Credit",
    Purpose.RESALE: "Credit",
}
_PROVIDER = "Sublet"


def focus(books: Books) -> Iterator[str]:
    """The file, line by line, with a heading."""
    yield csv_line(COLUMNS)
    for row in [*_usage_rows(books), *map(partial(_token_row, books), books.tokens), *_adjustment_rows(books)]:
        yield csv_line([cell(row[name]) if name in _TENANTS_WORDS else row.get(name, "") for name in COLUMNS])


_TENANTS_WORDS = frozenset({"ResourceName", "BillingAccountName", "SubAccountName"})


def _usage_rows(books: Books) -> Iterator[dict[str, str]]:
    billed = sorted((one for one in books.usage if one.kind is UsageKind.BILLED), key=lambda one: (one.lease, one.seq))
    for (_, _, hour), group in groupby(billed, key=lambda one: (one.lease, one.attempt, one.from_us // HOUR_US)):
        yield _usage_row(books, list(group), hour * HOUR_US)


def _usage_row(books: Books, part: list[Usage], hour_us: int) -> dict[str, str]:
    """One attempt's billed time that begins in one clock hour."""
    first = part[0]
    lease_class = books.leases[first.lease].lease_class
    cost = decimal(sum(charge(one) for one in part))
    gpu_us = sum(one.gpu_us for one in part)
    price = decimal(first.price_micro)
    return _common(books, first.tenant, first.pool, first.lease, hour_us) | {
        "BilledCost": cost,
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{first.gpus} {books.pools[first.pool].gpu_model} GPUs, {lease_class} lease {first.lease}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": instant(first.from_us),
        "ChargePeriodEnd": instant(part[-1].to_us),
        "ConsumedQuantity": gpu_seconds(gpu_us),
        "ConsumedUnit": "GPU-Seconds",
        "ContractedCost": cost,
        "ContractedUnitPrice": price,
        "EffectiveCost": cost,
        "ListCost": cost,
        "ListUnitPrice": price,
        "PricingCategory": _PRICING[lease_class],
        "PricingQuantity": gpu_hours(gpu_us),
        "PricingUnit": "GPU-Hours",
        "SkuId": f"{first.pool}/{lease_class}",
        "SkuPriceId": f"{first.pool}/{lease_class}/{first.price_micro}",
        "x_Attempt": str(first.attempt),
        "x_Purpose": Purpose.USAGE,
    }


def _token_row(books: Books, part: TokenDay) -> dict[str, str]:
    """A day's requests of one tenant for one model and tier. The unit price is what a million of these tokens cost together.

    Requests are charged one by one, input, cached and output tokens apart, so no listed price makes up the sum exactly.
    """
    use = part.use
    tokens = use.input_tokens + use.output_tokens
    cost, price = decimal(use.amount_micro), decimal(use.amount_micro * TOKENS, per=max(1, tokens) * MICRO, places=12)
    sku = f"{use.model}/{use.tier}{'/batch' if use.batched else ''}"
    tags = {"model": str(use.model), "tier": use.tier, "batch": str(use.batched).lower()}
    return _common(books, part.tenant, None, None, part.day_us) | {
        "BilledCost": cost,
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{use.requests} requests to {use.model}, tier {use.tier}{', in batches' if use.batched else ''}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": instant(part.day_us),
        "ChargePeriodEnd": instant(part.day_us + DAY_US),
        "ConsumedQuantity": str(tokens),
        "ConsumedUnit": "Tokens",
        "ContractedCost": cost,
        "ContractedUnitPrice": price,
        "EffectiveCost": cost,
        "ListCost": cost,
        "ListUnitPrice": price,
        "PricingCategory": "Standard",
        "PricingQuantity": decimal(tokens, per=TOKENS),
        "PricingUnit": "1000000 Tokens",
        "ResourceId": use.model,
        "ResourceName": use.model,
        "ResourceType": "Model",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Model API",
        "SkuId": sku,
        "SkuPriceId": f"{sku}/{price}",
        "Tags": json.dumps(tags, separators=(",", ":")),
        "x_Purpose": Purpose.USAGE,
        "x_Requests": str(use.requests),
        "x_InputTokens": str(use.input_tokens),
        "x_CachedTokens": str(use.cached_tokens),
        "x_OutputTokens": str(use.output_tokens),
    }


def _adjustment_rows(books: Books) -> Iterator[dict[str, str]]:
    tenants = {receivable(tenant): tenant for tenant in books.tenants}
    for entry in books.transfers:
        tenant = tenants.get(entry.credit) or tenants.get(entry.debit)
        if (entry.purpose in OF_ATTEMPT or entry.purpose is Purpose.CORRECTION) and tenant is not None:
            yield _adjustment_row(books, entry, tenant)


def _adjustment_row(books: Books, entry: Transfer, tenant: TenantId) -> dict[str, str]:
    """Money given back or corrected; it has a cost and no quantity."""
    sign = 1 if entry.debit == receivable(tenant) else -1
    cost = decimal(sign * entry.amount_micro)
    lease = books.leases.get(entry.lease) if entry.lease else None
    of_attempt = entry.purpose in OF_ATTEMPT
    return _common(books, tenant, lease.pool if lease else None, entry.lease, entry.at_us) | {
        "BilledCost": cost,
        "ChargeCategory": _CATEGORIES.get(entry.purpose, "Adjustment"),
        "ChargeClass": "" if of_attempt else "Correction",
        "ChargeDescription": f"{entry.purpose}: {entry.memo}",
        "ChargeFrequency": "One-Time",
        "ChargePeriodStart": instant(entry.at_us),
        "ChargePeriodEnd": instant(entry.at_us + 1_000_000),
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "x_Attempt": str(attempt_of(entry)) if of_attempt else "",
        "x_Purpose": entry.purpose,
    }


def _common(books: Books, tenant: TenantId, pool: PoolId | None, lease: LeaseId | None, at_us: int) -> dict[str, str]:
    who = books.tenants[tenant]
    sold = books.pools.get(pool) if pool else None
    month, following = _month(at_us)
    named = books.leases.get(lease) if lease else None
    tags = {"lease_class": str(named.lease_class), "access": str(named.access), "pool": str(named.pool)} if named else {}
    return {
        "BillingAccountId": tenant,
        "BillingAccountName": who.name,
        "BillingCurrency": who.currency,
        "BillingPeriodStart": instant(month),
        "BillingPeriodEnd": instant(following),
        "InvoiceIssuer": _PROVIDER,
        "Provider": _PROVIDER,
        "Publisher": _PROVIDER,
        "RegionId": sold.site if sold else "",
        "RegionName": sold.site if sold else "",
        "ResourceId": lease or "",
        "ResourceName": named.name if named else "",
        "ResourceType": "Lease" if named else "",
        "ServiceCategory": "Compute",
        "ServiceName": "GPU leases",
        "SubAccountId": tenant,
        "SubAccountName": who.name,
        "Tags": json.dumps(tags, separators=(",", ":")),
    }


def _month(us: int) -> tuple[int, int]:
    """The calendar month (UTC) of an instant: its start and the next one's, in µs."""
    at = moment(us)
    start = datetime(at.year, at.month, 1, tzinfo=at.tzinfo)
    following = (start + timedelta(days=31)).replace(day=1)
    return micros(start), micros(following)
