"""When the supply that a constituent was weighed by was true, and from when on it counts as old

Revision 0003. What was decided before has neither.
"""

import sqlalchemy as sa
from alembic import op

from indexer.store import columns

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rebalancing_item", sa.Column("supply_observed_at", columns.Instant(), nullable=True))
    op.add_column("rebalancing_item", sa.Column("supply_stale_at", columns.Instant(), nullable=True))


def downgrade() -> None:
    op.drop_column("rebalancing_item", "supply_stale_at")
    op.drop_column("rebalancing_item", "supply_observed_at")
