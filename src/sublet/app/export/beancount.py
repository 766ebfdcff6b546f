"""The ledger as a Beancount file: every movement of money is a transaction, and every account's sum is asserted.

Holds move no money and are left out. `bean-check` verifies our balances, because the assertions are computed from debits
and credits and not from the lines above them.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from hashlib import sha256

from sublet.app.export.books import Books
from sublet.app.export.figures import decimal, instant, moment
from sublet.core.ledger import AccountId, Kind, Transfer, changes

_MOVES = (Kind.POST, Kind.TRANSFER)


def beancount(books: Books) -> Iterator[str]:
    """The file, line by line."""
    entries = sorted((entry for entry in books.transfers if entry.kind in _MOVES), key=lambda entry: entry.at_us)
    touched = sorted({name for entry in entries for name in (entry.debit, entry.credit)})
    currencies = sorted({books.accounts[name].currency for name in touched})
    yield 'option "title" "Sublet"'
    yield from (f'option "operating_currency" "{currency}"' for currency in currencies)
    if not entries:
        return
    first = _day(entries[0].at_us)
    yield ""
    yield from (f"{first} open {account_name(name)} {books.accounts[name].currency}" for name in touched)
    for entry in entries:
        yield from _transaction(entry, books.accounts[entry.debit].currency)
    yield ""
    after = _day(entries[-1].at_us) + timedelta(days=1)
    yield from _balances(books, entries, after)


def account_name(account: AccountId) -> str:
    """The account in Beancount's spelling: capitalised parts of letters, digits and dashes.

    A part that cannot be read back from its spelling gets a short mark of its own, so that two accounts never become one.
    """
    return ":".join(_part(part) for part in account.split(":"))


def _part(part: str) -> str:
    spelled = re.sub(r"[^A-Za-z0-9-]", "-", part)
    capital = spelled[:1].upper() + spelled[1:]
    if not re.match(r"[A-Z0-9]", capital):
        capital = f"X{capital}"
    if capital.lower() == part:
        return capital
    return f"{capital}-{sha256(part.encode()).hexdigest()[:8]}"


def _transaction(entry: Transfer, currency: str) -> Iterator[str]:
    link = f" ^{entry.lease}" if entry.lease and re.fullmatch(r"[A-Za-z0-9_./-]+", entry.lease) else ""
    amount = decimal(entry.amount_micro)
    yield ""
    yield f'{_day(entry.at_us)} * "{entry.purpose}" "{_quoted(entry.memo)}"{link}'
    yield f'  transfer: "{_quoted(entry.id)}"'
    yield f'  at: "{instant(entry.at_us)}"'
    yield f"  {account_name(entry.debit)}  {amount} {currency}"
    yield f"  {account_name(entry.credit)}  -{amount} {currency}"


def _balances(books: Books, entries: Iterable[Transfer], day: date) -> Iterator[str]:
    for name, change in sorted(changes(entries).items()):
        amount = decimal(change.debits_micro - change.credits_micro)
        yield f"{day} balance {account_name(name)}  {amount} {books.accounts[name].currency}"


def _day(us: int) -> date:
    return moment(us).date()


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
