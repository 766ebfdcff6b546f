"""The tables. One module a noun reads and writes them; nothing outside `store` sees a row.

Instants are BIGINT microseconds since the epoch, money BIGINT micro-units, documents JSON text. Lifecycles are guarded by
`version`; what must happen once has a unique key.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_ID = String(64)
_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER keys

facts = Table(  # one row a fact about this installation: the last instant stamped, the schema's origin
    "facts", metadata, Column("name", _ID, primary_key=True), Column("value", Text, nullable=False)
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("suspended", Boolean, nullable=False, default=False),
    Column("country", String(2)),  # its seat, or that of its parent; null: not known
)

quotas = Table(
    "quotas",
    metadata,
    Column("tenant", _ID, ForeignKey("tenants.id"), primary_key=True),
    Column("pool", _ID, ForeignKey("pools.id"), primary_key=True),
    Column("nominal", Integer, nullable=False),
    Column("borrowing_limit", Integer),
)

keys = Table(
    "keys",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("scope", String(16), nullable=False),  # owner | tenant | finance | read-only
    Column("tenant", _ID, ForeignKey("tenants.id")),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Index("ix_keys_revoked_us", "revoked_us"),
)

pools = Table(
    "pools",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("settings", Text, nullable=False),  # core.terms.Pool as JSON
    Column("price_micro", BigInteger, nullable=False),  # the last clearing price
    Column("price_at_us", BigInteger, nullable=False, default=0),  # when it last moved
    Column("reserve", Integer, nullable=False, default=0),
    Column("version", Integer, nullable=False, default=1),
    Column("created_us", BigInteger, nullable=False),
)

sites = Table(
    "sites",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("settings", Text, nullable=False),  # core.site.Site as JSON
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("pool", _ID, ForeignKey("pools.id"), nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("gpu_model", Text, nullable=False),
    Column("down", Boolean, nullable=False, default=False),
    Column("reason", Text, nullable=False, default=""),
    Column("since_us", BigInteger, nullable=False),  # in the fleet from here on: capacity counts from it
    Column("rack", String(64), nullable=False, server_default=""),  # "": not known
    Column("pod", String(64), nullable=False, server_default=""),
    Index("ix_nodes_pool_gpus", "pool", "gpus"),
)

workloads = Table(
    "workloads",
    metadata,
    Column("holder", _ID, primary_key=True),  # a lease or an owner job
    Column("document", Text, nullable=False),  # core.workload.Workload as JSON
    Column("label", Text),  # core.residency.Label as JSON; null: it states nothing
)

leases = Table(
    "leases",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("tenant", _ID, ForeignKey("tenants.id"), nullable=False),
    Column("pool", _ID, ForeignKey("pools.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("lease_class", String(16), nullable=False),
    Column("access", String(16), nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("nodes", Integer, nullable=False),
    Column("bid_micro", BigInteger, nullable=False),
    Column("grace_us", BigInteger, nullable=False),
    Column("requested_us", BigInteger, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("term_us", BigInteger),
    Column("restartable", Boolean, nullable=False),
    Column("whole_nodes", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reclaims", Integer, nullable=False),
    Column("not_before_us", BigInteger, nullable=False),
    Column("price_micro", BigInteger),
    Column("placement", Text, nullable=False),
    Column("granted_us", BigInteger),
    Column("exempt_until_us", BigInteger, nullable=False),
    Column("ends_us", BigInteger),
    Column("funded_until_us", BigInteger),
    Column("started_us", BigInteger),
    Column("noticed_us", BigInteger),
    Column("deadline_us", BigInteger),
    Column("notice_at_us", BigInteger),
    Column("stopped_us", BigInteger),
    Column("checkpoint_us", BigInteger),
    Column("metered_us", BigInteger),
    Column("usage_seq", Integer, nullable=False),
    Column("cause", String(16)),
    Column("exit_code", Integer),
    Column("reason", Text, nullable=False),
    Index("ix_leases_state", "state"),
    Index("ix_leases_pool_state", "pool", "state"),
    Index("ix_leases_tenant_requested", "tenant", "requested_us", "id"),
    Index("ix_leases_serving", "state", sqlite_where=text("access = 'endpoint'"), postgresql_where=text("access = 'endpoint'")),
)

block_orders = Table(  # orders for blocks, and for the sale of what is left of one
    "block_orders",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("tenant", _ID, ForeignKey("tenants.id"), nullable=False),
    Column("pool", _ID, ForeignKey("pools.id"), nullable=False),
    Column("side", String(8), nullable=False),  # buy | sell
    Column("lease", _ID, nullable=False),  # what a buy becomes, or what a sell gives back; no row of `leases` before it is won
    Column("name", Text, nullable=False),
    Column("nodes", Integer, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("limit_micro", BigInteger, nullable=False),
    Column("placed_us", BigInteger, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("price_micro", BigInteger),
    Column("reason", Text, nullable=False),
    Index("ix_block_orders_pool_state", "pool", "state"),
    Index("ix_block_orders_tenant_placed", "tenant", "placed_us", "id"),
    Index("ix_block_orders_lease", "lease"),
)

attempts = Table(  # a finished attempt of a lease: what it was granted, why and how it ended, what it saved
    "attempts",
    metadata,
    Column("lease", _ID, ForeignKey("leases.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("tenant", _ID, nullable=False),
    Column("pool", _ID, nullable=False),
    Column("lease_class", String(16), nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("price_micro", BigInteger, nullable=False),
    Column("term_us", BigInteger),
    Column("granted_us", BigInteger, nullable=False),
    Column("started_us", BigInteger),
    Column("noticed_us", BigInteger),
    Column("deadline_us", BigInteger),
    Column("stopped_us", BigInteger, nullable=False),
    Column("checkpoint_us", BigInteger),
    Column("cause", String(16), nullable=False),
    Column("exit_code", Integer),
    Column("settled", Boolean, nullable=False, default=False),  # charged, refunded, credited, its hold voided
    Index("ix_attempts_settled", "settled"),
    Index("ix_attempts_tenant_stopped_us", "tenant", "stopped_us"),
    Index("ix_attempts_pool_stopped_us", "pool", "stopped_us"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("pool", _ID, ForeignKey("pools.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("nodes", Integer, nullable=False),
    Column("submitted_us", BigInteger, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("is_hold", Boolean, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("within", String(16), nullable=False, server_default="site"),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("placement", Text, nullable=False),
    Column("entitled_us", BigInteger),
    Column("started_us", BigInteger),
    Column("ended_us", BigInteger),
    Column("exit_code", Integer),
    Column("reason", Text, nullable=False),
    Index("ix_jobs_state", "state"),
    Index("ix_jobs_pool_state_since_us", "pool", "state", "since_us"),
)

spans = Table(  # who held which GPUs of a node, when; `free` is what no span covers
    "spans",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("pool", _ID, nullable=False),
    Column("node", _ID, nullable=False),
    Column("mask", BigInteger, nullable=False),  # bit i is GPU i; bit 63 is the sign
    Column("state", String(16), nullable=False),  # owner | leased | handover | down
    Column("holder", _ID, nullable=False),  # lease, owner job, or the node itself for `down`
    Column("attempt", Integer, nullable=False),
    Column("from_us", BigInteger, nullable=False),
    Column("to_us", BigInteger),
    Index("ix_spans_open", "holder", "to_us"),
    Index("ix_spans_pool_to", "pool", "to_us"),
)

reserves = Table(  # the hot buffer as a step function of time
    "reserves",
    metadata,
    Column("pool", _ID, primary_key=True),
    Column("at_us", BigInteger, primary_key=True),
    Column("gpus", Integer, nullable=False),
)

prices = Table(
    "prices",
    metadata,
    Column("pool", _ID, primary_key=True),
    Column("at_us", BigInteger, primary_key=True),
    Column("price_micro", BigInteger, nullable=False),
    Column("floor_micro", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)

demand = Table(  # the owner's demand (running + waiting GPUs) as a step function of time
    "demand",
    metadata,
    Column("pool", _ID, primary_key=True),
    Column("at_us", BigInteger, primary_key=True),
    Column("gpus", Integer, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("id", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("at_us", BigInteger, nullable=False),
    Column("applied_us", BigInteger),
    Column("document", Text, nullable=False),  # core.plan.Plan as JSON
    Index("ix_plans_applied_us", "applied_us"),
)

usage = Table(
    "usage",
    metadata,
    Column("lease", _ID, ForeignKey("leases.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("tenant", _ID, nullable=False),
    Column("pool", _ID, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("from_us", BigInteger, nullable=False),
    Column("to_us", BigInteger, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("price_micro", BigInteger, nullable=False),
    Column("kind", String(8), nullable=False),  # billed | grace
    Column("billed", Boolean, nullable=False, default=False),  # its charge is in the ledger
    Index("ix_usage_billed_lease_seq", "billed", "lease", "seq"),  # what waits for its charge, in its order
    Index("ix_usage_tenant_from_us", "tenant", "from_us"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(160), primary_key=True),
    Column("currency", String(3), nullable=False),
    Column("debits_micro", BigInteger, nullable=False, default=0),
    Column("credits_micro", BigInteger, nullable=False, default=0),
    Column("held_micro", BigInteger, nullable=False, default=0),  # reserved on the debit side
    Column("limit_micro", BigInteger),  # debits - credits + held never passes it
)

transfers = Table(  # only ever added to
    "transfers",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String(160), nullable=False, unique=True),  # what makes it happen once, e.g. charge:<lease>:<seq>
    Column("kind", String(8), nullable=False),  # hold | post | void | transfer
    Column("debit", String(160), ForeignKey("accounts.id"), nullable=False),
    Column("credit", String(160), ForeignKey("accounts.id"), nullable=False),
    Column("amount_micro", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("purpose", String(16), nullable=False),  # usage | refund | credit | correction | hold
    Column("lease", _ID),
    Column("usage_seq", Integer),
    Column("memo", Text, nullable=False),
    Column("purse", _ID),
    Index("ix_transfers_lease", "lease"),
    Index("ix_transfers_at_us", "at_us"),
)

holds = Table(  # what is left of each running attempt's reservation
    "holds",
    metadata,
    Column("lease", _ID, ForeignKey("leases.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("account", String(160), nullable=False),
    Column("left_micro", BigInteger, nullable=False),
    Column("extensions", Integer, nullable=False, default=0),
)

events = Table(
    "events",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", String(48), nullable=False),  # lease.granted, price.set, ...
    Column("tenant", _ID),
    Column("lease", _ID),
    Column("pool", _ID),
    Column("reason", Text, nullable=False),
    Column("data", Text, nullable=False),
    Index("ix_events_at_us", "at_us"),
    Index("ix_events_lease_seq", "lease", "seq"),
    Index("ix_events_tenant_seq", "tenant", "seq"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(160), primary_key=True),  # <lease>:<attempt>:<deadline>
    Column("url", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("due_us", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Column("done_us", BigInteger),
    Column("error", Text),
    Index("ix_webhooks_done_us_due_us", "done_us", "due_us"),
)

replies = Table(  # what was answered to a request with an idempotency key
    "replies",
    metadata,
    Column("key_id", _ID, primary_key=True),
    Column("idempotency_key", String(255), primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)

evidence = Table(  # of each hand-over
    "evidence",
    metadata,
    Column("run", _ID, primary_key=True),
    Column("holder", _ID, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("clean", Boolean, nullable=False),
    Column("document", Text, nullable=False),
    Index("ix_evidence_holder", "holder"),
)

invoices = Table(
    "invoices",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("tenant", _ID, ForeignKey("tenants.id"), nullable=False),
    Column("from_us", BigInteger, nullable=False),
    Column("to_us", BigInteger, nullable=False),
    Column("issued_us", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    UniqueConstraint("tenant", "from_us", "to_us"),
)

changes = Table(  # which rows changed, written by triggers: whoever keeps a state current reads on from here
    "changes",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("kind", String(8), nullable=False),  # lease | job | node | pool | tenant
    Column("subject", String(160), nullable=False),
    Column("xid", BigInteger, nullable=False),  # PostgreSQL's transaction; 0 on SQLite, which writes one after the other
    Index("ix_changes_xid", "xid"),
)

leadership = Table(  # one row: which of several control planes runs the loops (PostgreSQL)
    "leadership",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),  # raised by each new leader: who writes with an older one is refused
    Column("holder", Text, nullable=False),
    Column("since_us", BigInteger, nullable=False),
)

audit_log = Table(  # only ever added to, by triggers, too; each entry's hash covers the one before it
    "audit_log",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", String(48), nullable=False),
    Column("document", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
