"""How many constituents a level has, and notes on reviews and spells

Revision 0004. Stored levels keep the count 0: it is not known.
"""

import sqlalchemy as sa
from alembic import op

from indexer.store import columns

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("level", sa.Column("constituents", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "review_note",
        sa.Column("index_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("start_at", columns.Instant(), nullable=False),
        sa.Column("end_at", columns.Instant(), nullable=True),
        sa.Column("reference_at", columns.Instant(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_review_note_run_id_run")),
        sa.PrimaryKeyConstraint("index_id", "kind", "start_at", name=op.f("pk_review_note")),
    )


def downgrade() -> None:
    op.drop_table("review_note")
    op.drop_column("level", "constituents")
