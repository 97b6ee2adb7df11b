"""The share of perpetual futures in a level, and flags of a rate

Revision 0002. Stored rows get 0: their rates are flagged where they are computed again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rate", sa.Column("flags", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("level", sa.Column("perpetual_weight", sa.Float(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("level", "perpetual_weight")
    op.drop_column("rate", "flags")
