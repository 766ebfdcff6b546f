"""What a lease leaves behind is kept for a while and then wiped: its checkpoint volume, its output, its workload's secrets."""

from sublet.core.ids import LeaseId, job_run, lease_run
from sublet.engines.protocol import Engine
from sublet.store import changes, jobs, leases, replies, workloads
from sublet.store.database import Database

_BATCH = 100
_NOTES = 200_000  # of changes that are kept for whoever has not read them yet


def purge(database: Database, engine: Engine, *, before_us: int) -> int:
    """Wipe what ended before an instant; a bounded batch, and harmless to repeat. Returns how many holders were wiped."""
    with database.read() as tx:
        old_leases = leases.ended_with_workload(tx, before_us=before_us, limit=_BATCH)
        old_jobs = jobs.ended_with_workload(tx, before_us=before_us, limit=_BATCH)
    for lease in old_leases:
        engine.discard(lease.id)
    engine.forget([lease_run(LeaseId(lease.id), n) for lease in old_leases for n in range(1, lease.attempt + 1)])
    engine.forget([job_run(job.id) for job in old_jobs])
    with database.write() as tx:
        replies.forget(tx, before_us=before_us, limit=_BATCH)
        changes.purge(tx, keep=_NOTES)
        workloads.delete_all(tx, [*(lease.id for lease in old_leases), *(job.id for job in old_jobs)])
    return len(old_leases) + len(old_jobs)
