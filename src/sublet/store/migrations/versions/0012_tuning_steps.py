"""What fine-tuning jobs tell, what else is known of them, and when a gateway was last heard of."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_ADDED = ("error_code", "suffix", "metadata", "data", "bid_micro")


def upgrade() -> None:
    op.add_column("tunings", sa.Column("error_code", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("tunings", sa.Column("suffix", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("tunings", sa.Column("metadata", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("tunings", sa.Column("data", sa.Text(), nullable=False, server_default=""))
    op.add_column("tunings", sa.Column("bid_micro", sa.BigInteger(), nullable=True))
    op.create_table(
        "tuning_steps",
        sa.Column("tuning", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tuning", "attempt", "nth", name=op.f("pk_tuning_steps")),
    )
    op.create_table(
        "gateways",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateways")),
    )


def downgrade() -> None:
    op.drop_table("gateways")
    op.drop_table("tuning_steps")
    with op.batch_alter_table("tunings") as table:
        for name in _ADDED:
            table.drop_column(name)
