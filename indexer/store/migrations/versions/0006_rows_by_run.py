"""Rows of a run, and an index's levels in the order of publication, by key; the version of the data as a row

Revision 0006. Sealing a run and finding the last hash read no whole table any more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

RUNS = ("bar", "rate", "level")


def upgrade() -> None:
    for table in RUNS:
        op.create_index(f"ix_{table}_run_id", table, ["run_id"])
    op.create_index("ix_level_published", "level", ["index_id", "run_id", "time", "revision"])
    version = op.create_table(
        "data_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("pending", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_version")),
    )
    op.bulk_insert(version, [{"id": 1, "token": "0", "pending": True}])


def downgrade() -> None:
    op.drop_table("data_version")
    op.drop_index("ix_level_published", "level")
    for table in RUNS:
        op.drop_index(f"ix_{table}_run_id", table)
