"""Facts about this installation: one name, one text. The last instant stamped, secrets made at first start."""

from sqlalchemy import Connection, insert, select, update

from sublet.store.bulk import insert_new
from sublet.store.schema import facts


def get(tx: Connection, name: str) -> str | None:
    """What is known under a name."""
    return tx.execute(select(facts.c.value).where(facts.c.name == name)).scalar_one_or_none()


def put(tx: Connection, name: str, value: str) -> None:
    """Record a fact, over what was known before."""
    if tx.execute(update(facts).where(facts.c.name == name).values(value=value)).rowcount == 0:
        tx.execute(insert(facts).values(name=name, value=value))


def claim(tx: Connection, name: str, value: str) -> str:
    """What is known under a name, which is `value` if nobody was there before. Several may claim at once: one is first."""
    insert_new(tx, facts, [{"name": name, "value": value}], key=[facts.c.name])
    found = get(tx, name)
    assert found is not None
    return found
