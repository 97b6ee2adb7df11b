"""Revisions of notes on reviews and spells

Revision 0005. What is stored is the first revision of each.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from indexer.store import columns

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

FIELDS = "index_id, kind, start_at, end_at, reference_at, reason, run_id"


def upgrade() -> None:
    _make_anew(("revision", sa.Integer(), 1), ("withdrawn", sa.Boolean(), False))


def downgrade() -> None:
    op.execute(
        "DELETE FROM review_note WHERE withdrawn OR revision < (SELECT max(o.revision) FROM review_note o WHERE "
        "o.index_id = review_note.index_id AND o.kind = review_note.kind AND o.start_at = review_note.start_at)"
    )
    _make_anew()


def _make_anew(*more: tuple[str, sa.types.TypeEngine[Any], int]) -> None:
    """The table with these columns besides, each with one value: a primary key cannot be altered in SQLite."""
    rows = op.get_bind().execute(sa.text(f"SELECT {FIELDS} FROM review_note")).mappings().all()
    op.drop_table("review_note")
    table = op.create_table(
        "review_note",
        sa.Column("index_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("start_at", columns.Instant(), nullable=False),
        *(sa.Column(name, kind, nullable=False) for name, kind, _ in more),
        sa.Column("end_at", columns.Instant(), nullable=True),
        sa.Column("reference_at", columns.Instant(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_review_note_run_id_run")),
        sa.PrimaryKeyConstraint(
            "index_id", "kind", "start_at", *(name for name, _, _ in more[:1]), name=op.f("pk_review_note")
        ),
    )
    raw = sa.table(table.name, *(sa.column(column.name) for column in table.columns))  # instants as they are stored
    op.bulk_insert(raw, [dict(row) | {name: value for name, _, value in more} for row in rows])
