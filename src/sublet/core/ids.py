"""Names of things, as types: a lease id can never be passed where a tenant id is wanted."""

from typing import NewType

TenantId = NewType("TenantId", str)
PoolId = NewType("PoolId", str)
NodeId = NewType("NodeId", str)
LeaseId = NewType("LeaseId", str)
JobId = NewType("JobId", str)  # a job of the owner
PlanId = NewType("PlanId", str)
OrderId = NewType("OrderId", str)  # an order for a block, or for the sale of one
ModelName = NewType("ModelName", str)
TuningId = NewType("TuningId", str)  # a fine-tuning job
ReplicaId = NewType("ReplicaId", str)  # one run of a model's server program
RunId = NewType("RunId", str)  # one attempt of a lease, or one owner job, as an engine knows it


def lease_run(lease: LeaseId, attempt: int) -> RunId:
    """The run an engine is asked to start for `attempt` (1 is the first) of `lease`."""
    return RunId(f"{lease}.{attempt}")


def job_run(job: JobId) -> RunId:
    """The run an engine is asked to start for an owner's job; it has one attempt."""
    return RunId(f"{job}.1")
