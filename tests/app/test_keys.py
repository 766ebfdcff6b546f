"""API keys at rest."""

import stat
from pathlib import Path

import pytest

from sublet.app import keys, tenants
from sublet.app.keys import Scope, Unauthenticated
from sublet.core.errors import Conflict, Invalid, NotFound
from sublet.core.ids import TenantId
from sublet.store.database import Database

NOW = 1_700_000_000_000_000
ACME = TenantId("acme")


def test_the_first_start_writes_the_owners_key_where_only_he_reads_it(database: Database, tmp_path: Path) -> None:
    with database.write() as tx:
        file = keys.ensure_owner_key(tx, tmp_path / "data", now_us=NOW)
    assert file is not None and stat.S_IMODE(file.stat().st_mode) == 0o600
    with database.write() as tx:
        assert keys.authenticate(tx, file.read_text().strip()).scope is Scope.OWNER
        assert keys.ensure_owner_key(tx, tmp_path / "data", now_us=NOW) is None


class Crash(BaseException):
    """The process ended here."""


def test_a_crash_between_the_file_and_the_database_is_mended(database: Database, tmp_path: Path) -> None:
    def die() -> None:
        with database.write() as tx:
            keys.ensure_owner_key(tx, tmp_path, now_us=NOW)
            raise Crash

    with pytest.raises(Crash):
        die()
    secret = (tmp_path / "owner.key").read_text().strip()
    with database.write() as tx:
        keys.ensure_owner_key(tx, tmp_path, now_us=NOW)
        assert keys.authenticate(tx, secret).scope is Scope.OWNER


def test_a_file_that_holds_no_key_is_not_taken_for_one(database: Database, tmp_path: Path) -> None:
    (tmp_path / "owner.key").write_text("")
    with database.write() as tx, pytest.raises(Conflict, match="holds no key"):
        keys.ensure_owner_key(tx, tmp_path, now_us=NOW)


def test_what_is_kept_does_not_open_the_door(database: Database) -> None:
    with database.write() as tx:
        minted = keys.add(tx, scope=Scope.FINANCE, name="books", tenant=None, now_us=NOW)
        assert len(minted.secret) >= 46 and minted.secret not in repr(minted.row)
        assert keys.authenticate(tx, minted.secret).scope is Scope.FINANCE
        for wrong in (minted.row.secret_sha256, minted.secret[:-1], "sk_" + minted.row.secret_sha256, ""):
            with pytest.raises(Unauthenticated):
                keys.authenticate(tx, wrong)
        keys.revoke(tx, minted.row.id, now_us=NOW)
        with pytest.raises(Unauthenticated):
            keys.authenticate(tx, minted.secret)


def test_a_key_fits_its_scope(database: Database) -> None:
    with database.write() as tx:
        for scope, tenant, error in (
            (Scope.TENANT, None, Invalid),
            (Scope.OWNER, ACME, Invalid),
            (Scope.FINANCE, ACME, Invalid),
            (Scope.TENANT, TenantId("nobody"), NotFound),
        ):
            with pytest.raises(error) as told:
                keys.add(tx, scope=scope, name="k", tenant=tenant, now_us=NOW)
            assert told.value.field == "tenant" and told.value.hint
        tenants.add(tx, tenant=ACME, name="Acme", currency="USD", limit_micro=None, now_us=NOW)
        reader = keys.add(tx, scope=Scope.READ_ONLY, name="k", tenant=ACME, now_us=NOW)
        assert keys.authenticate(tx, reader.secret).sees == "acme"
