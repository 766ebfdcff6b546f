"""The triggers that write down which rows changed: no writer can forget to say so.

A row is news when something changed that decisions look at. What metering notes on a lease (how far its usage is recorded) is
not: it moves with every pass, and no round asks for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Watched:
    """A table whose changes are noted: the kind of its rows, and the column that names the subject."""

    table: str
    kind: str
    subject: str
    columns: tuple[str, ...]  # an update of these is looked at
    news: tuple[
        str, ...
    ] = ()  # and told if one of these came out differently, `{row}` for the row; the columns if none are named


_TO_SPEND = "CASE WHEN {row}.limit_micro IS NULL THEN 0 ELSE {row}.debits_micro - {row}.credits_micro + {row}.held_micro END"

WATCHED = (
    Watched("leases", "lease", "id", ("version", "reason", "checkpoint_us", "funded_until_us")),
    Watched("jobs", "job", "id", ("version", "placement", "entitled_us")),
    Watched("nodes", "node", "id", ("down", "pool", "gpus", "rack", "pod")),
    Watched("pools", "pool", "id", ("settings", "price_micro", "price_at_us", "reserve")),
    Watched("sites", "pool", "id", ("settings",)),  # what it bears is news for its pools, which are few: they are read anew
    Watched("tenants", "tenant", "id", ("suspended",)),
    Watched("quotas", "tenant", "tenant", ("nominal", "borrowing_limit")),
    Watched(
        "accounts",
        "tenant",
        "id",
        ("debits_micro", "credits_micro", "held_micro", "limit_micro"),
        ("{row}.limit_micro", _TO_SPEND),  # a charge that turns a part of a hold into debt leaves as much to be spent
    ),
)


def install(connection: Connection) -> None:
    """Set the triggers of every watched table anew. A migration that makes such a table again calls it, too."""
    for statement in _sqlite() if connection.dialect.name == "sqlite" else _postgresql():
        connection.exec_driver_sql(statement)


def remove(connection: Connection) -> None:
    """Drop them all."""
    sqlite = connection.dialect.name == "sqlite"
    for watched in WATCHED:
        for when in ("insert", "update"):
            where = "" if sqlite else f" ON {watched.table}"
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {_name(watched, when)}{where}")
    if not sqlite:
        connection.exec_driver_sql("DROP FUNCTION IF EXISTS note_change()")


def _name(watched: Watched, when: str) -> str:
    return f"note_{watched.table}_{when}"


def _news(watched: Watched, differs: str) -> str:
    """The condition under which an update is news."""
    parts = watched.news or tuple(f"{{row}}.{column}" for column in watched.columns)
    return " OR ".join(f"({part.format(row='NEW')}) {differs} ({part.format(row='OLD')})" for part in parts)


def _sqlite() -> Iterator[str]:
    for watched in WATCHED:
        note = f"INSERT INTO changes (kind, subject, xid) SELECT '{watched.kind}', NEW.{watched.subject}, 0"
        columns = ", ".join(watched.columns)
        for when, on in (("insert", "INSERT"), ("update", f"UPDATE OF {columns}")):
            condition = f"WHEN {_news(watched, 'IS NOT')}" if when == "update" else ""
            yield f"DROP TRIGGER IF EXISTS {_name(watched, when)}"
            yield f"CREATE TRIGGER {_name(watched, when)} AFTER {on} ON {watched.table} {condition} BEGIN {note}; END"


def _postgresql() -> Iterator[str]:
    yield """
        CREATE OR REPLACE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO changes (kind, subject, xid)
            VALUES (TG_ARGV[0], to_jsonb(NEW) ->> TG_ARGV[1], pg_current_xact_id()::text::bigint);
            RETURN NULL;
        END $$"""
    for watched in WATCHED:
        columns = ", ".join(watched.columns)
        for when, on in (("insert", "INSERT"), ("update", f"UPDATE OF {columns}")):
            condition = f"WHEN ({_news(watched, 'IS DISTINCT FROM')})" if when == "update" else ""
            yield f"DROP TRIGGER IF EXISTS {_name(watched, when)} ON {watched.table}"
            yield (
                f"CREATE TRIGGER {_name(watched, when)} AFTER {on} ON {watched.table} FOR EACH ROW {condition} "
                f"EXECUTE FUNCTION note_change('{watched.kind}', '{watched.subject}')"
            )
