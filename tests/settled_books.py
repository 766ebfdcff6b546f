"""What the books must hold once nobody keeps them any more."""

from sublet.app import audit, billing, metering
from sublet.core.usage import Usage, UsageKind
from sublet.store import usage
from sublet.store.database import Database


def settled(database: Database, *, began_us: int, now_us: int) -> list[Usage]:
    """Meter and bill what is left, and see that the audit finds nothing, all is billed and settled, and something was sold.

    Everything that was measured, for whoever has more to ask of it.
    """
    metering.meter_running(database, now_us=now_us, every_us=0)
    billing.bill(database, now_us=now_us)
    with database.read() as tx:
        assert audit.findings(tx, from_us=began_us, now_us=now_us) == []
        measured = usage.between(tx, 0, now_us)
        assert not usage.unbilled(tx, after=None, limit=1)
        assert not usage.unsettled(tx, after=None, limit=1)
    assert sum(one.gpu_us for one in measured if one.kind is UsageKind.BILLED) > 0
    return measured
