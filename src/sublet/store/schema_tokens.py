"""The tables of the model API: purses, requests that are over, what a tenant may ask, files and batches."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from sublet.store.schema import metadata

_ID = String(64)

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

gateways = Table(  # that were heard of
    "gateways",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("folder", Text, nullable=False),  # of its journal
    Column("seen_us", BigInteger, nullable=False),
    Column("until_us", BigInteger),  # silent, it keeps its purses until then
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
