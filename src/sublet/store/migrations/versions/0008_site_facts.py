"""Where tenants are, what workloads state about their data, and the audit log that nobody changes."""

import sqlalchemy as sa
from alembic import op

from sublet.store import append_only

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenants", sa.Column("country", sa.String(length=2), nullable=True))
    op.add_column("workloads", sa.Column("label", sa.Text(), nullable=True))
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=48), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
    )
    append_only.install(op.get_bind(), "audit_log")


def downgrade() -> None:
    append_only.remove(op.get_bind(), "audit_log")
    op.drop_table("audit_log")
    op.drop_column("workloads", "label")
    op.drop_column("tenants", "country")
