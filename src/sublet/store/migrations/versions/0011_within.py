"""How near each other the nodes of a job of the owner have to be."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("within", sa.String(length=16), nullable=False, server_default="site"))


def downgrade() -> None:
    op.drop_column("jobs", "within")
