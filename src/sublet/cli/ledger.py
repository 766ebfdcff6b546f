"""The books, and invoices made from them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter

from sublet.app.export.invoice_text import invoice_text
from sublet.cli.client import connect
from sublet.cli.output import Json, money, parse_instant, show, table, write_text
from sublet.core.errors import Invalid
from sublet.core.invoice import Invoice

From = Annotated[str | None, typer.Option("--from", help="First day or instant, UTC; everything if left away.")]
To = Annotated[str | None, typer.Option("--to", help="End, not included; now if left away.")]
_INVOICE = TypeAdapter(Invoice)


class ExportFormat(StrEnum):
    """For which program."""

    BEANCOUNT = "beancount"
    CSV = "csv"
    FOCUS = "focus"


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    books = typer.Typer(name="ledger", help="The books.", invoke_without_command=True)
    books.callback()(balances)
    books.command("check")(check)
    books.command("transfers")(transfers)
    books.command("export")(export)
    books.command("statement")(statement)
    app.add_typer(books)
    app.command()(invoice)


def balances(context: typer.Context, *, as_json: Json = False) -> None:
    """Every account with its balance."""
    if context.invoked_subcommand is not None:
        return
    with connect() as client:
        found = client.get("/v1/ledger/accounts")["items"]
    headings = ("account", "debits", "credits", "reserved", "balance")
    rows = (
        (
            one["id"],
            *(
                money(one[name], one["currency"], places=6)
                for name in ("debits_micro", "credits_micro", "held_micro", "balance_micro")
            ),
        )
        for one in found
    )
    show(found, as_json, lambda: table(headings, rows, right=headings[1:], empty="no accounts yet"))


def check(*, as_json: Json = False) -> None:
    """Whether the books are in order; exit code 1 if not."""
    with connect() as client:
        found = client.get("/v1/ledger/check")
    rows = [(line,) for line in found["findings"]]
    show(found, as_json, lambda: table(("finding",), rows, empty="every balance follows from the entries"))
    if not found["balanced"]:
        raise typer.Exit(1)


def transfers(
    after: Annotated[int, typer.Option(min=0, help="Those after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1_000)] = 100,
    *,
    as_json: Json = False,
) -> None:
    """The entries of the books, the oldest first."""
    with connect() as client:
        found = client.get("/v1/ledger/transfers", after=after, limit=limit)
    rows = (
        (one["seq"], one["kind"], one["purpose"], one["debit"], one["credit"], f"{one['amount_micro'] / 1e6:.6f}", one["memo"])
        for one in found["items"]
    )
    headings = ("no.", "kind", "purpose", "debit", "credit", "amount", "about")
    show(found, as_json, lambda: table(headings, rows, right=("no.", "amount"), empty="no entries"))


def export(
    form: Annotated[ExportFormat, typer.Option("--format", help="For which program.")] = ExportFormat.BEANCOUNT,
    begin: From = None,
    end: To = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; stdout if left away.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """The books as a file for other programs."""
    period = {"from_us": parse_instant(begin, option="--from"), "to_us": parse_instant(end, option="--to")}
    with connect() as client:
        text = client.raw("/v1/ledger/export", format=form.value, **period).text
    if out is not None:
        _write(out, text)
        show({"file": str(out), "bytes": len(text.encode())}, as_json, lambda: f"written to {out}")
        return
    show({"format": form.value, "text": text}, as_json, lambda: write_text(text))


def statement(begin: From = None, end: To = None, *, as_json: Json = False) -> None:
    """What leasing earned, what it cost, and the margin."""
    period = {"from_us": parse_instant(begin, option="--from"), "to_us": parse_instant(end, option="--to")}
    with connect() as client:
        found = client.get("/v1/statement", **period)["items"]
    names = ("revenue_micro", "refund_micro", "credit_micro", "cost_micro", "margin_micro", "depreciation_micro")
    rows = [
        (
            pool["pool"],
            f"{pool['billed_gpu_us'] / 3.6e9:.4f}",
            *(money(pool[name], one["currency"], places=4) for name in names),
        )
        for one in found
        for pool in (*one["pools"], one["total"])
    ]
    headings = ("pool", "GPU-hours", "revenue", "refunds", "credits", "cost", "margin", "depreciation")
    show(found, as_json, lambda: table(headings, rows, right=headings[1:], empty="no pools yet"))


def invoice(
    tenant: Annotated[str | None, typer.Argument(metavar="[TENANT]", help="Whose; a tenant's key need not say.")] = None,
    begin: From = None,
    end: To = None,
    *,
    issue: Annotated[bool, typer.Option("--issue", help="Issue it, for good; the period must be over.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write it as a page to print, too.")] = None,
    as_json: Json = False,
) -> None:
    """A tenant's invoice: every interval, notice, refund and credit. A draft unless it is issued."""
    from_us, to_us = parse_instant(begin, option="--from"), parse_instant(end, option="--to")
    with connect() as client:
        if issue:
            if tenant is None or from_us is None or to_us is None:
                raise typer.BadParameter("to issue an invoice, name the tenant, --from and --to", param_hint="--issue")
            found = client.post("/v1/invoices", {"tenant": tenant, "from_us": from_us, "to_us": to_us})
            page = f"/v1/invoices/{found['invoice']['id']}/page"
            text = client.raw(page).text if html else ""
        else:
            period = {"tenant": tenant, "from_us": from_us, "to_us": to_us}
            found = client.get("/v1/invoices/draft", **period)
            text = client.raw("/v1/invoices/draft/page", **period).text if html else ""
    if html is not None:
        _write(html, text)
    show(found, as_json, lambda: invoice_text(_INVOICE.validate_python(found["invoice"])))


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise Invalid(f"{file} cannot be written: {error.strerror}", field=str(file), hint="choose another file") from error
