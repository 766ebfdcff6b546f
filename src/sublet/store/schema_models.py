"""The tables of served models: what is served, how many replicas are kept, the replicas, and fine-tuning jobs."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from sublet.store.schema import metadata

_ID = String(64)

models = Table(  # that are served
    "models",
    metadata,
    Column("name", _ID, primary_key=True),
    Column("server", String(16), nullable=False),  # vllm | llamacpp | url
    Column("source", Text, nullable=False),
    Column("checksum", String(64), nullable=False),
    Column("context_length", Integer, nullable=False),
    Column("aliases", Text, nullable=False),  # JSON
    Column("currency", String(3), nullable=False),
    Column("input_micro", BigInteger, nullable=False),  # a million tokens
    Column("cached_micro", BigInteger, nullable=False),
    Column("output_micro", BigInteger, nullable=False),
    Column("options", Text, nullable=False),  # JSON
    Column("sites", Text, nullable=False),  # JSON
    Column("tenant", _ID, ForeignKey("tenants.id")),
    Column("path", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

servings = Table(  # replicas that are kept of a model for a tier
    "servings",
    metadata,
    Column("model", _ID, ForeignKey("models.name"), primary_key=True),
    Column("tier", String(16), primary_key=True),
    Column("tenant", _ID, ForeignKey("tenants.id"), nullable=False),
    Column("replicas_min", Integer, nullable=False),
    Column("replicas_max", Integer, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("pool", _ID),
    Column("bid_micro", BigInteger),
    Column("asked_us", BigInteger, nullable=False),
    Column("busy_us", BigInteger, nullable=False),
    Column("idle_us", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("retry_us", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
)

replicas = Table(  # runs of server programs: attempts of leases, or addresses outside
    "replicas",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("model", _ID, nullable=False),
    Column("tier", String(16), nullable=False),
    Column("lease", _ID),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("site", _ID, nullable=False),
    Column("state", String(16), nullable=False),  # starting | ready | draining | gone
    Column("since_us", BigInteger, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("busy", Integer, nullable=False),
    Column("queued", Integer, nullable=False),
    Column("progress", Text, nullable=False),
    Index("ix_replicas_state", "state"),
    Index("ix_replicas_lease", "lease"),
)

tunings = Table(  # fine-tuning jobs
    "tunings",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("tenant", _ID, ForeignKey("tenants.id"), nullable=False),
    Column("model", _ID, nullable=False),
    Column("lease", _ID, nullable=False),  # empty: not asked for yet
    Column("state", String(16), nullable=False),  # new | open | succeeded | failed | cancelled
    Column("training_file", _ID, nullable=False),
    Column("asked", Text, nullable=False),  # JSON
    Column("created_us", BigInteger, nullable=False),
    Column("finished_us", BigInteger),
    Column("result", _ID),
    Column("trained_tokens", BigInteger),
    Column("error", Text, nullable=False),
    Column("error_code", String(64), nullable=False, server_default=""),
    Column("suffix", String(64), nullable=False, server_default=""),
    Column("metadata", Text, nullable=False, server_default="{}"),  # JSON, the tenant's own
    Column("data", Text, nullable=False, server_default=""),  # where its copy of the training file lies
    Column("validation_file", _ID, nullable=False, server_default=""),  # empty: none
    Column("validation", Text, nullable=False, server_default=""),  # where its copy lies
    Column("bid_micro", BigInteger),
    Index("ix_tunings_state", "state"),
    Index("ix_tunings_tenant_created", "tenant", "created_us", "id"),
)

tuning_steps = Table(  # what fine-tuning jobs told
    "tuning_steps",
    metadata,
    Column("tuning", _ID, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("nth", Integer, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("event", String(16), nullable=False),
    Column("data", Text, nullable=False),  # JSON
)
