"""The words and figures that invoices share on paper, in a browser and in a terminal."""

from sublet.app.export.figures import decimal, moment
from sublet.core.invoice import Adjustment, AttemptBill, Invoice, Line
from sublet.core.lease import Cause
from sublet.core.ledger import Purpose
from sublet.core.model_request import TokenUse
from sublet.core.units import HOUR_US
from sublet.core.usage import UsageKind

_ENDED = {
    Cause.COMPLETED: "completed",
    Cause.FAILED: "failed",
    Cause.RELEASED: "released by you",
    Cause.RECLAIMED: "reclaimed by the owner",
    Cause.EXPIRED: "its term ended",
    Cause.REFUSED: "refused",
    Cause.BUDGET: "the spend limit was reached",
}
_GIVEN = {Purpose.REFUND: "refund of its charges", Purpose.CREDIT: "credit for the broken promise"}
_FREE = {UsageKind.GRACE: "grace after the notice, free", UsageKind.UNFUNDED: "ran past its funds, free"}


def headline(invoice: Invoice) -> str:
    """Invoice or draft, and its number."""
    return f"Invoice {invoice.id}" if invoice.issued_us is not None else "Draft invoice (the period is still open)"


def money(micro: int) -> str:
    """An amount with six decimals, the ledger's own precision, and thousands apart."""
    whole, fraction = decimal(micro).split(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}.{fraction}"


def price(line: Line) -> str:
    """The exact price of a GPU-hour, with two decimals at least; a dash where nothing is charged."""
    if line.kind is not UsageKind.BILLED:
        return "-"
    whole, fraction = decimal(line.price_micro).split(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"


def gpu_hours_short(gpu_us: int) -> str:
    """GPU-hours as a person reads them; the exact GPU-seconds are on the HTML invoice."""
    return decimal(gpu_us, per=HOUR_US, places=4)


def gpu_seconds_exact(gpu_us: int) -> str:
    """GPU-seconds without loss and without trailing zeros."""
    return decimal(gpu_us).rstrip("0").rstrip(".")


def day_time(us: int) -> str:
    """Date and time to the second, UTC."""
    return moment(us).strftime("%Y-%m-%d %H:%M:%S")


def span(from_us: int, to_us: int) -> str:
    """From when to when; the date is said once where it is one day."""
    start, end = moment(from_us), moment(to_us)
    if start.date() == end.date():
        return f"{start:%Y-%m-%d %H:%M:%S} - {end:%H:%M:%S}"
    return f"{start:%Y-%m-%d %H:%M} - {end:%Y-%m-%d %H:%M}"


def line_label(line: Line, attempt: AttemptBill) -> str:
    """What a line is for."""
    what = _FREE.get(line.kind, f"{line.gpus} GPUs")
    counted = f" ({line.intervals} intervals)" if line.intervals > 1 else ""
    return f"attempt {attempt.attempt}: {what}{counted}"


def given_label(given: Adjustment, attempt: AttemptBill) -> str:
    """What a refund or credit is for."""
    return f"attempt {attempt.attempt}: {_GIVEN.get(given.purpose, given.purpose)}"


def ending(attempt: AttemptBill) -> tuple[str, str] | None:
    """How an attempt ended, and when (from its notice, if it had one); None while it runs without a notice."""
    about = f"attempt {attempt.attempt}: "
    if attempt.stopped_us is None or attempt.cause is None:
        return None if attempt.noticed_us is None else (about + "its end was announced", day_time(attempt.noticed_us))
    if attempt.noticed_us is None:
        return about + _ENDED[attempt.cause], day_time(attempt.stopped_us)
    return f"{about}{_ENDED[attempt.cause]}, notice to end", span(attempt.noticed_us, attempt.stopped_us)


def token_label(use: TokenUse) -> str:
    """What an invoice calls the requests for one model."""
    return f"{use.model}, tier {use.tier}{', batches at half price' if use.batched else ''}: {use.requests:,} requests"


def token_counts(use: TokenUse) -> str:
    """Their tokens."""
    cached = f" ({use.cached_tokens:,} cached)" if use.cached_tokens else ""
    return f"{use.input_tokens:,} tokens in{cached}, {use.output_tokens:,} out"
