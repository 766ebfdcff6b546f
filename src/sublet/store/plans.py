"""Plans: stored before they are applied, kept as the record of what was decided and why."""

from collections.abc import Sequence

from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, select, update

from sublet.core.plan import Plan
from sublet.store.schema import plans

_PLAN = TypeAdapter(Plan)


def document_of(plan: Plan) -> str:
    """The plan as it is kept. A large one takes a while, so it is made before a transaction begins."""
    return _PLAN.dump_json(plan, exclude_defaults=True).decode()


def insert_one(tx: Connection, plan: Plan, document: str | None = None) -> int:
    """Keep a plan that is to be applied; returns its number. `document`: as `document_of` made it."""
    document = document or document_of(plan)
    made = tx.execute(insert(plans).values(at_us=plan.at_us, document=document).returning(plans.c.id))
    return int(made.scalar_one())


def pending(tx: Connection, *, limit: int = 10) -> Sequence[tuple[int, Plan]]:
    """Plans that were not applied yet, oldest first."""
    query = select(plans.c.id, plans.c.document).where(plans.c.applied_us.is_(None)).order_by(plans.c.id).limit(limit)
    return [(number, _PLAN.validate_json(document)) for number, document in tx.execute(query)]


def is_pending(tx: Connection) -> bool:
    """Whether a plan was not applied yet."""
    return tx.execute(select(plans.c.id).where(plans.c.applied_us.is_(None)).limit(1)).first() is not None


def mark_applied(tx: Connection, number: int, *, at_us: int) -> None:
    """The plan was applied, as far as its subjects had not moved."""
    tx.execute(update(plans).where(plans.c.id == number).values(applied_us=at_us))
