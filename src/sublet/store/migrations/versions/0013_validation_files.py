"""Files by which fine-tuning jobs judge what they have learnt."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tunings", sa.Column("validation_file", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("tunings", sa.Column("validation", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("tunings") as table:
        table.drop_column("validation")
        table.drop_column("validation_file")
