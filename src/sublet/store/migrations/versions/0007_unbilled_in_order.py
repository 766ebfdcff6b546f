"""Usage that waits for its charge is found in its order: a batch costs its size, however long the queue is."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_usage_billed_lease_seq", "usage", ["billed", "lease", "seq"], unique=False)
    op.drop_index("ix_usage_billed", "usage")


def downgrade() -> None:
    op.create_index("ix_usage_billed", "usage", ["billed"], unique=False)
    op.drop_index("ix_usage_billed_lease_seq", "usage")
