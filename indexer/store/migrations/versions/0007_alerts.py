"""Where alert rules stand, and the outbox of their messages

Revision 0007.
"""

import sqlalchemy as sa
from alembic import op

from indexer.store import columns

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_state",
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rule", "subject", name=op.f("pk_alert_state")),
    )
    op.create_table(
        "alert_message",
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", columns.Instant(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", "target", name=op.f("pk_alert_message")),
    )
    op.create_index(op.f("ix_alert_message_created_at"), "alert_message", ["created_at"])
    op.create_index(op.f("ix_alert_message_due_at"), "alert_message", ["due_at"])


def downgrade() -> None:
    op.drop_table("alert_message")
    op.drop_table("alert_state")
