"""Nodes stand in racks, and racks in pods."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("nodes") as nodes:
        nodes.add_column(sa.Column("rack", sa.String(length=64), nullable=False, server_default=""))
        nodes.add_column(sa.Column("pod", sa.String(length=64), nullable=False, server_default=""))
