"""The ledger as one CSV table: a row a transfer, holds and voids included, in the order they were booked."""

import csv
import io
from collections.abc import Iterator, Sequence

from sublet.app.export.books import Books
from sublet.app.export.figures import cell, decimal, instant

_COLUMNS = ("id", "at", "kind", "purpose", "debit", "credit", "amount", "currency", "lease", "usage_seq", "memo")


def table(books: Books) -> Iterator[str]:
    """The file, line by line, with a heading."""
    yield csv_line(_COLUMNS)
    for entry in books.transfers:
        yield csv_line(
            (
                entry.id,
                instant(entry.at_us),
                entry.kind,
                entry.purpose,
                entry.debit,
                entry.credit,
                decimal(entry.amount_micro),
                books.accounts[entry.debit].currency,
                entry.lease or "",
                "" if entry.usage_seq is None else str(entry.usage_seq),
                cell(entry.memo),
            )
        )


def csv_line(cells: Sequence[str]) -> str:
    """One line of a CSV file, without its line break."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()
