"""Which rows changed, so that a state can be kept current instead of read anew."""

import sqlalchemy as sa
from alembic import op

from sublet.store import triggers

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("subject", sa.String(length=160), nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_changes")),
    )
    op.create_index("ix_changes_xid", "changes", ["xid"], unique=False)
    op.create_index("ix_leases_pool_state", "leases", ["pool", "state"], unique=False)
    op.create_index("ix_nodes_pool_gpus", "nodes", ["pool", "gpus"], unique=False)
    triggers.install(op.get_bind())


def downgrade() -> None:
    triggers.remove(op.get_bind())
    op.drop_index("ix_nodes_pool_gpus", "nodes")
    op.drop_index("ix_leases_pool_state", "leases")
    op.drop_index("ix_changes_xid", "changes")
    op.drop_table("changes")
