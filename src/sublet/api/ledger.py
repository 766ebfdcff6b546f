"""The books: balances, transfers, the proof that they balance, files for other programs, and the owner's statement."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from sublet.api.call import Calling, only
from sublet.api.events import Sequence
from sublet.api.pages import Limit
from sublet.api.periods import FromUs, ToUs
from sublet.app import audit
from sublet.app.export import EXPORTS, export
from sublet.app.keys import Scope
from sublet.app.statement import statement
from sublet.core.ledger import Account, Transfer, receivable
from sublet.core.statement import PoolStatement, Statement
from sublet.store import ledger

router = APIRouter(prefix="/v1", tags=["ledger"])
Format = Annotated[Literal["beancount", "csv", "focus"], Query(alias="format")]
_MONEY = [only(Scope.FINANCE, Scope.READ_ONLY)]
_OWN_MONEY = [only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)]


class AccountView(BaseModel):
    """An account. Micro-units; the balance is debits less credits."""

    id: str
    currency: str
    debits_micro: int
    credits_micro: int
    held_micro: int
    limit_micro: int | None
    balance_micro: int

    @classmethod
    def of(cls, account: Account) -> "AccountView":
        """As the API shows it."""
        return cls(**{name: getattr(account, name) for name in cls.model_fields})


class AccountList(BaseModel):
    """Accounts by name."""

    items: list[AccountView]


class TransferView(BaseModel):
    """One entry of the books."""

    seq: int
    id: str
    kind: str
    debit: str
    credit: str
    amount_micro: int
    at_us: int
    purpose: str
    lease: str | None
    usage_seq: int | None
    memo: str

    @classmethod
    def of(cls, seq: int, transfer: Transfer) -> "TransferView":
        """As the API shows it."""
        return cls(seq=seq, **{name: getattr(transfer, name) for name in cls.model_fields if name != "seq"})


class TransferPage(BaseModel):
    """Transfers in order; ask again with `after` = `last`."""

    items: list[TransferView]
    last: int


class CheckView(BaseModel):
    """Whether the books are in order."""

    balanced: bool
    findings: list[str] = Field(description="what is not in order; empty is the proof of order")


class PoolStatementView(BaseModel):
    """One pool's result. Micro-units and GPU-microseconds."""

    pool: str
    billed_gpu_us: int
    free_gpu_us: int
    revenue_micro: int
    refund_micro: int
    credit_micro: int
    cost_micro: int
    margin_micro: int
    depreciation_micro: int

    @classmethod
    def of(cls, found: PoolStatement) -> "PoolStatementView":
        """As the API shows it."""
        return cls(**{name: getattr(found, name) for name in cls.model_fields})


class StatementView(BaseModel):
    """What leasing earned in a period, in one currency."""

    currency: str
    from_us: int
    to_us: int
    total: PoolStatementView
    pools: list[PoolStatementView]

    @classmethod
    def of(cls, found: Statement) -> "StatementView":
        """As the API shows it."""
        return cls(
            currency=found.currency,
            from_us=found.from_us,
            to_us=found.to_us,
            total=PoolStatementView.of(found.total),
            pools=[PoolStatementView.of(pool) for pool in found.pools],
        )


class StatementList(BaseModel):
    """One statement a currency."""

    items: list[StatementView]


@router.get("/ledger/accounts", dependencies=_OWN_MONEY)
def accounts(call: Calling) -> AccountList:
    """Every account with its balance; a tenant sees its own."""
    with call.read() as tx:
        mine = call.caller.sees
        found = ledger.every_account(tx) if mine is None else [ledger.account(tx, receivable(mine))]
    return AccountList(items=[AccountView.of(account) for account in found])


@router.get("/ledger/transfers", dependencies=_OWN_MONEY)
def transfers(call: Calling, after: Sequence = 0, limit: Limit = 100) -> TransferPage:
    """Every entry of the books, oldest first; a tenant sees those that touch it."""
    with call.read() as tx:
        found = ledger.page(tx, after=after, tenant=call.caller.sees, limit=limit)
    return TransferPage(items=[TransferView.of(seq, entry) for seq, entry in found], last=found[-1][0] if found else after)


@router.get("/ledger/check", dependencies=_MONEY)
def check(call: Calling) -> CheckView:
    """Whether every balance follows from the entries, and no GPU is held twice."""
    with call.read() as tx:
        found = [*audit.check_money(tx), *audit.check_now(tx)]
    return CheckView(balanced=not found, findings=found)


@router.get(
    "/ledger/export",
    dependencies=_OWN_MONEY,
    response_class=Response,
    responses={
        200: {
            "description": "The books of a period as a file",
            "content": {kind: {"schema": {"type": "string"}} for kind in ("text/plain", "text/csv")},
        }
    },
)
def exported(call: Calling, as_: Format = "beancount", from_us: FromUs = 0, to_us: ToUs = None) -> Response:
    """The books of a period: for Beancount, for a spreadsheet, or as FOCUS rows. A tenant gets what touches it."""
    end = call.until(to_us)
    text = export(call.plane.database, as_, from_us=from_us, to_us=end, tenant=call.caller.sees)
    kind = EXPORTS[as_]
    headers = {"Content-Disposition": f'attachment; filename="sublet{kind.suffix}"'}
    return Response(text, media_type=kind.media_type, headers=headers)


@router.get("/statement", dependencies=_MONEY)
def earned(call: Calling, from_us: FromUs = 0, to_us: ToUs = None) -> StatementList:
    """What leasing earned the owner in a period, what it cost, and the depreciation beside it."""
    end = call.until(to_us)
    found = statement(call.plane.database, from_us=from_us, to_us=end)
    return StatementList(items=[StatementView.of(one) for one in found])
