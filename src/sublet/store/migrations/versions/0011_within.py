"""How near each other the nodes of a job of the owner have to be."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("within", sa.String(length=16), nullable=False, server_default="site"))
    with op.batch_alter_table("jobs") as jobs:
        jobs.alter_column("within", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("within")
