"""Triggers that let rows be added to a table and refuse everything else, whoever asks and with whatever program."""

from collections.abc import Iterator

from sqlalchemy import Connection

_SAID = "the audit log is only ever added to"


def install(connection: Connection, table: str) -> None:
    """Set the triggers of a table. A migration that makes the table again calls it, too."""
    for statement in _sqlite(table) if connection.dialect.name == "sqlite" else _postgresql(table):
        connection.exec_driver_sql(statement)


def remove(connection: Connection, table: str) -> None:
    """Drop them."""
    if connection.dialect.name == "sqlite":
        for what in ("update", "delete", "replace"):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS keep_{table}_{what}")
        return
    for what in ("change", "truncate"):
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS keep_{table}_{what} ON {table}")
    connection.exec_driver_sql("DROP FUNCTION IF EXISTS refuse_change()")


def _sqlite(table: str) -> Iterator[str]:
    """`INSERT OR REPLACE` deletes without asking the delete trigger, so a number that is taken is refused, too."""
    refuse = f"SELECT RAISE(ABORT, '{_SAID}')"
    yield f"CREATE TRIGGER keep_{table}_update BEFORE UPDATE ON {table} BEGIN {refuse}; END"
    yield f"CREATE TRIGGER keep_{table}_delete BEFORE DELETE ON {table} BEGIN {refuse}; END"
    taken = f"EXISTS (SELECT 1 FROM {table} WHERE seq = NEW.seq)"  # noqa: S608 (the table is ours)
    yield f"CREATE TRIGGER keep_{table}_replace BEFORE INSERT ON {table} WHEN {taken} BEGIN {refuse}; END"


def _postgresql(table: str) -> Iterator[str]:
    yield f"""
        CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '{_SAID}';
        END $$"""
    for what, each, on in (("change", "ROW", "UPDATE OR DELETE"), ("truncate", "STATEMENT", "TRUNCATE")):
        yield (f"CREATE TRIGGER keep_{table}_{what} BEFORE {on} ON {table} FOR EACH {each} EXECUTE FUNCTION refuse_change()")
