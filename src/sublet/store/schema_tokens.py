"""The tables of models: how they are served, purses, requests that are over, what tenants may ask, files and batches."""

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
    Column("lease", _ID, nullable=False),
    Column("state", String(16), nullable=False),  # open | succeeded | failed | cancelled
    Column("training_file", _ID, nullable=False),
    Column("asked", Text, nullable=False),  # JSON
    Column("created_us", BigInteger, nullable=False),
    Column("finished_us", BigInteger),
    Column("result", _ID),
    Column("trained_tokens", BigInteger),
    Column("error", Text, nullable=False),
    Index("ix_tunings_state", "state"),
    Index("ix_tunings_tenant_created", "tenant", "created_us", "id"),
)

purses = Table(  # money held for a gateway
    "purses",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("tenant", _ID, ForeignKey("tenants.id"), nullable=False),
    Column("gateway", _ID, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("left_micro", BigInteger, nullable=False),
    Column("entries", Integer, nullable=False),  # its transfers so far
    Column("opened_us", BigInteger, nullable=False),
    Column("closed_us", BigInteger),
    Index("ix_purses_gateway_closed_us", "gateway", "closed_us"),
)

model_requests = Table(  # one row a request, added once it is over; its id makes it count once
    "model_requests",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("tenant", _ID, nullable=False),
    Column("key", _ID, nullable=False),
    Column("kind", String(16), nullable=False),  # chat | completion | embedding
    Column("model", _ID, nullable=False),
    Column("tier", String(16), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("took_us", BigInteger, nullable=False),
    Column("first_us", BigInteger, nullable=False),
    Column("input_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("amount_micro", BigInteger, nullable=False),
    Column("outcome", String(16), nullable=False),  # done | disconnected | broken
    Column("counted", String(16), nullable=False),  # server | gateway
    Column("replica", _ID, nullable=False),
    Column("moves", Integer, nullable=False),
    Column("purse", _ID, nullable=False),
    Column("batch", _ID, nullable=False),
    Column("posting", String(160), nullable=False),  # the transfer that its charge is a part of
    Column("booked_us", BigInteger, nullable=False),
    Index("ix_model_requests_tenant_booked_us", "tenant", "booked_us", "id"),
    Index("ix_model_requests_booked_us", "booked_us", "id"),
    Index("ix_model_requests_posting", "posting"),
)

token_terms = Table(  # what a tenant may ask of models
    "token_terms",
    metadata,
    Column("tenant", _ID, ForeignKey("tenants.id"), primary_key=True),
    Column("requests_per_min", Integer),
    Column("tokens_per_min", BigInteger),
    Column("residency", Text, nullable=False),  # JSON
    Column("sensitivity", String(16), nullable=False),
    Column("fallbacks", Text, nullable=False),  # JSON: model -> other models, in order
)

files = Table(
    "files",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("tenant", _ID, ForeignKey("tenants.id"), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("filename", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("site", _ID, nullable=False),  # where it lies
    Index("ix_files_tenant_created_us", "tenant", "created_us", "id"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("tenant", _ID, ForeignKey("tenants.id"), nullable=False),
    Column("key", _ID, nullable=False),
    Column("endpoint", String(64), nullable=False),
    Column("input_file", _ID, nullable=False),
    Column("output_file", _ID, nullable=False),
    Column("error_file", _ID, nullable=False),
    Column("metadata", Text, nullable=False),  # JSON, the tenant's own
    Column("state", String(16), nullable=False),
    Column("errors", Text, nullable=False),  # JSON
    Column("total", Integer, nullable=False),
    Column("completed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("instants", Text, nullable=False),  # JSON: when it entered each state
    Column("gateway", _ID, nullable=False),  # who works on it
    Column("seen_us", BigInteger, nullable=False),  # when that one last said so
    Index("ix_batches_state", "state"),
    Index("ix_batches_tenant_created_us", "tenant", "created_us", "id"),
)
