"""An invoice for the terminal: one table, a block of rows for each lease, sums at the end."""

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sublet.app.export.wording import (
    day_time,
    ending,
    given_label,
    gpu_hours_short,
    headline,
    line_label,
    money,
    price,
    span,
    token_counts,
    token_label,
)
from sublet.core.invoice import Invoice, LeaseBill, merged


def invoice_text(invoice: Invoice) -> RenderableType:
    """The invoice as something `rich` prints."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim", expand=False)
    for heading in ("what", "when (UTC)"):
        table.add_column(heading)
    for heading in ("GPU-hours", "price", f"amount ({invoice.currency})"):
        table.add_column(heading, justify="right")
    for bill in invoice.leases:
        _add_lease(table, bill)
    for use in invoice.tokens:
        table.add_row(escape(token_label(use)), token_counts(use), "", "", money(use.amount_micro))
    for one in invoice.corrections:
        table.add_row(escape(one.memo or str(one.purpose)), "", "", "", money(one.amount_micro))
    return Group(
        Text(headline(invoice), style="bold"),
        Text(f"{invoice.tenant_name} ({invoice.tenant})   {span(invoice.from_us, invoice.to_us)}", style="dim"),
        Text(),
        table,
        Text(),
        _sums(invoice),
    )


def _add_lease(table: Table, bill: LeaseBill) -> None:
    about = (
        f"[bold]{escape(bill.name)}[/]  [dim]{bill.lease}  {bill.gpus} GPUs  {bill.lease_class}  pool {escape(bill.pool)}[/]"
    )
    table.add_row(about, "", "", "", f"[bold]{money(bill.totals.due_micro)}[/]")
    for attempt in bill.attempts:
        for line in merged(attempt.lines):
            table.add_row(
                f"  {line_label(line, attempt)}",
                span(line.from_us, line.to_us),
                gpu_hours_short(line.gpu_us),
                price(line),
                money(line.amount_micro),
            )
        for given in attempt.adjustments:
            table.add_row(
                f"  {given_label(given, attempt)}", day_time(given.at_us), "", "", f"[green]{money(given.amount_micro)}[/]"
            )
        if (how := ending(attempt)) is not None:
            table.add_row(f"  [dim]{how[0]}[/]", f"[dim]{how[1]}[/]")
    table.add_row()


def _sums(invoice: Invoice) -> Table:
    totals = invoice.totals
    sums = Table(box=None, pad_edge=False, show_header=False)
    sums.add_column()
    sums.add_column(justify="right")
    rows = (
        (f"usage, {gpu_hours_short(totals.billed_gpu_us)} GPU-hours", totals.usage_micro, True),
        ("requests to models", totals.tokens_micro, bool(totals.tokens_micro)),
        ("refunds", totals.refund_micro, bool(totals.refund_micro)),
        ("credits", totals.credit_micro, bool(totals.credit_micro)),
        ("blocks not used, less what was resold", totals.block_micro, bool(totals.block_micro)),
        ("corrections", totals.correction_micro, bool(totals.correction_micro)),
    )
    for name, amount, shown in rows:
        if shown:
            sums.add_row(name, money(amount))
    sums.add_row(
        "[bold]to pay[/]" if totals.due_micro >= 0 else "[bold]in your favour[/]",
        f"[bold]{money(totals.due_micro)} {invoice.currency}[/]",
    )
    if totals.free_gpu_us:
        sums.add_row("[dim]free of charge, GPU-hours[/]", f"[dim]{gpu_hours_short(totals.free_gpu_us)}[/]")
    return sums
