"""Orders for blocks."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "block_orders",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("pool", sa.String(length=64), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("lease", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("nodes", sa.Integer(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.Column("limit_micro", sa.BigInteger(), nullable=False),
        sa.Column("placed_us", sa.BigInteger(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("price_micro", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["pool"], ["pools.id"], name=op.f("fk_block_orders_pool")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_block_orders_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_block_orders")),
    )
    with op.batch_alter_table("block_orders", schema=None) as batch_op:
        batch_op.create_index("ix_block_orders_lease", ["lease"], unique=False)
        batch_op.create_index("ix_block_orders_pool_state", ["pool", "state"], unique=False)
        batch_op.create_index("ix_block_orders_tenant_placed", ["tenant", "placed_us", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("block_orders")
