"""The first tables

Revision 0001, the root. Bulk tables have no row id on SQLite; their key leads with the series.
"""

import sqlalchemy as sa
from alembic import op

from indexer.store import columns

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


TABLES = (
    "asset",
    "bar",
    "challenge",
    "override",
    "benchmark",
    "benchmark_bar",
    "event",
    "lease",
    "level",
    "methodology_version",
    "metric",
    "rate",
    "run",
    "announcement",
    "seal",
    "index_info",
    "listing",
    "membership",
    "payload",
    "quality_entry",
    "rebalancing",
    "reject",
    "supply",
    "rebalancing_item",
)


def upgrade() -> None:
    op.create_table(
        "asset",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("contract", sa.String(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("sub_sector", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("line_ratio", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset")),
        sa.UniqueConstraint("chain", "contract", name=op.f("uq_asset_chain_contract")),
        sa.UniqueConstraint("slug", name=op.f("uq_asset_slug")),
    )
    op.create_index(op.f("ix_asset_line"), "asset", ["line"])

    op.create_table(
        "bar",
        sa.Column("listing_id", sa.Integer(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("open", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("close", sa.Float(), nullable=False),
        sa.Column("volume_base", sa.Float(), nullable=True),
        sa.Column("volume_usd", sa.Float(), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("close > 0", name=op.f("ck_bar_close_positive")),
        sa.PrimaryKeyConstraint("listing_id", "time", "revision", name=op.f("pk_bar")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_bar_revised",
        "bar",
        ["time"],
        sqlite_where=sa.text("revision > 1"),
        postgresql_where=sa.text("revision > 1"),
    )

    op.create_table(
        "challenge",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("index_id", sa.String(), nullable=False),
        sa.Column("time", columns.Instant(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.Column("opened_at", columns.Instant(), nullable=False),
        sa.Column("closed_at", columns.Instant(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("frozen", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_challenge")),
    )
    op.create_index(op.f("ix_challenge_index_id"), "challenge", ["index_id"])

    op.create_table(
        "override",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("index_id", sa.String(), nullable=True),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("starts_at", columns.Instant(), nullable=False),
        sa.Column("expires_at", columns.Instant(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.String(), nullable=False),
        sa.Column("proposed_at", columns.Instant(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("approved_at", columns.Instant(), nullable=True),
        sa.Column("withdrawn_by", sa.String(), nullable=True),
        sa.Column("withdrawn_at", columns.Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_override")),
    )

    op.create_table(
        "benchmark",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("calendar", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_benchmark")),
        sa.UniqueConstraint("symbol", name=op.f("uq_benchmark_symbol")),
    )
    op.create_table(
        "benchmark_bar",
        sa.Column("benchmark_id", sa.Integer(), nullable=False),
        sa.Column("interval", sa.String(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("close", sa.Float(), nullable=False),
        sa.Column("adjusted_close", sa.Float(), nullable=True),
        sa.Column("volume", sa.Float(), nullable=True),
        sa.Column("price_basis", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("close > 0", name=op.f("ck_benchmark_bar_close_positive")),
        sa.PrimaryKeyConstraint("benchmark_id", "interval", "time", "revision", name=op.f("pk_benchmark_bar")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_benchmark_bar_revised",
        "benchmark_bar",
        ["time"],
        sqlite_where=sa.text("revision > 1"),
        postgresql_where=sa.text("revision > 1"),
    )

    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("time", columns.Instant(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sa.UniqueConstraint("slug", name=op.f("uq_event_slug")),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("expires_at", columns.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "level",
        sa.Column("index_id", sa.String(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("carried_weight", sa.Float(), nullable=False),
        sa.Column("methodology_id", sa.Integer(), nullable=False),
        sa.Column("inputs_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("level > 0", name=op.f("ck_level_level_positive")),
        sa.PrimaryKeyConstraint("index_id", "time", "revision", name=op.f("pk_level")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "methodology_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("index_id", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("loaded_at", columns.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_methodology_version")),
        sa.UniqueConstraint("index_id", "hash", name=op.f("uq_methodology_version_index_id_hash")),
    )
    op.create_index(op.f("ix_methodology_version_index_id"), "methodology_version", ["index_id"])

    op.create_table(
        "metric",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "name", "source", "time", "revision", name=op.f("pk_metric")),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "rate",
        sa.Column("asset_id", sa.Integer(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Float(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("verdicts", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("rate > 0", name=op.f("ck_rate_rate_positive")),
        sa.PrimaryKeyConstraint("asset_id", "time", "revision", name=op.f("pk_rate")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_rate_revised",
        "rate",
        ["time"],
        sqlite_where=sa.text("revision > 1"),
        postgresql_where=sa.text("revision > 1"),
    )

    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("due_at", columns.Instant(), nullable=True),
        sa.Column("started_at", columns.Instant(), nullable=False),
        sa.Column("finished_at", columns.Instant(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("key", name=op.f("uq_run_key")),
    )
    op.create_index(op.f("ix_run_kind"), "run", ["kind"])
    op.create_index(op.f("ix_run_started_at"), "run", ["started_at"])

    op.create_table(
        "announcement",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("index_id", sa.String(), nullable=True),
        sa.Column("published_at", columns.Instant(), nullable=False),
        sa.Column("effective_at", columns.Instant(), nullable=True),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_announcement_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcement")),
        sa.UniqueConstraint("key", name=op.f("uq_announcement_key")),
    )
    op.create_index(op.f("ix_announcement_index_id"), "announcement", ["index_id"])
    op.create_index(op.f("ix_announcement_kind"), "announcement", ["kind"])
    op.create_index(op.f("ix_announcement_published_at"), "announcement", ["published_at"])

    op.create_table(
        "seal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_seal_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seal")),
        sa.UniqueConstraint("run_id", "about", name=op.f("uq_seal_run_id_about")),
    )

    op.create_table(
        "index_info",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("methodology_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["methodology_id"], ["methodology_version.id"], name=op.f("fk_index_info_methodology_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_index_info")),
    )
    op.create_table(
        "listing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.Integer(), nullable=False),
        sa.Column("venue", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("interval", sa.String(), nullable=False),
        sa.Column("quote", sa.String(), nullable=False),
        sa.Column("price_basis", sa.String(), nullable=False),
        sa.Column("stamp", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_listing_asset_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listing")),
        sa.UniqueConstraint(
            "asset_id", "venue", "interval", "source", name=op.f("uq_listing_asset_id_venue_interval_source")
        ),
    )
    op.create_index(op.f("ix_listing_asset_id"), "listing", ["asset_id"])

    op.create_table(
        "membership",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("index_id", sa.String(), nullable=False),
        sa.Column("asset_id", sa.Integer(), nullable=False),
        sa.Column("valid_from", columns.Instant(), nullable=False),
        sa.Column("valid_to", columns.Instant(), nullable=True),
        sa.Column("reason_in", sa.String(), nullable=False),
        sa.Column("reason_out", sa.String(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_membership_asset_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_membership_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_membership")),
        sa.UniqueConstraint(
            "index_id",
            "asset_id",
            "valid_from",
            "revision",
            name=op.f("uq_membership_index_id_asset_id_valid_from_revision"),
        ),
    )
    op.create_index(op.f("ix_membership_index_id"), "membership", ["index_id"])

    op.create_table(
        "payload",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("fetched_at", columns.Instant(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_payload_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payload")),
        sa.UniqueConstraint("sha256", "run_id", name=op.f("uq_payload_sha256_run_id")),
    )
    op.create_index(op.f("ix_payload_run_id"), "payload", ["run_id"])

    op.create_table(
        "quality_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("opened_at", columns.Instant(), nullable=False),
        sa.Column("closed_at", columns.Instant(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_quality_entry_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_entry")),
        sa.UniqueConstraint("kind", "subject", "opened_at", name=op.f("uq_quality_entry_kind_subject_opened_at")),
    )
    op.create_index(op.f("ix_quality_entry_kind"), "quality_entry", ["kind"])

    op.create_table(
        "rebalancing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("index_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reference_at", columns.Instant(), nullable=False),
        sa.Column("effective_at", columns.Instant(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("methodology_id", sa.Integer(), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("divisor_before", sa.Float(), nullable=False),
        sa.Column("divisor_after", sa.Float(), nullable=False),
        sa.Column("turnover", sa.Float(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["methodology_id"], ["methodology_version.id"], name=op.f("fk_rebalancing_methodology_id")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_rebalancing_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rebalancing")),
        sa.UniqueConstraint(
            "index_id",
            "effective_at",
            "kind",
            "revision",
            name=op.f("uq_rebalancing_index_id_effective_at_kind_revision"),
        ),
    )
    op.create_index("ix_rebalancing_index_effective", "rebalancing", ["index_id", "effective_at"])

    op.create_table(
        "reject",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("file_sha256", sa.String(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_reject_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reject")),
        sa.UniqueConstraint("file_sha256", "line", "reason", name=op.f("uq_reject_file_sha256_line_reason")),
    )
    op.create_index(op.f("ix_reject_run_id"), "reject", ["run_id"])

    op.create_table(
        "supply",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("observed_at", columns.Instant(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("amount", columns.ExactInteger(), nullable=False),
        sa.Column("chain", sa.String(), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.String(), nullable=True),
        sa.Column("finality", sa.String(), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_supply_asset_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_supply_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_supply")),
        sa.UniqueConstraint(
            "asset_id",
            "kind",
            "source",
            "observed_at",
            "revision",
            name=op.f("uq_supply_asset_id_kind_source_observed_at_revision"),
        ),
    )
    op.create_index(op.f("ix_supply_asset_id"), "supply", ["asset_id"])

    op.create_table(
        "rebalancing_item",
        sa.Column("rebalancing_id", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.Integer(), nullable=False),
        sa.Column("units_before", sa.Float(), nullable=False),
        sa.Column("units_after", sa.Float(), nullable=False),
        sa.Column("weight_drifted", sa.Float(), nullable=False),
        sa.Column("weight_target", sa.Float(), nullable=False),
        sa.Column("price", sa.Float(), nullable=True),
        sa.Column("supply", sa.Float(), nullable=True),
        sa.Column("supply_source", sa.String(), nullable=True),
        sa.Column("free_float_cap_usd", sa.Float(), nullable=True),
        sa.Column("median_adv_usd", sa.Float(), nullable=True),
        sa.Column("rank", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_rebalancing_item_asset_id")),
        sa.ForeignKeyConstraint(
            ["rebalancing_id"], ["rebalancing.id"], name=op.f("fk_rebalancing_item_rebalancing_id")
        ),
        sa.PrimaryKeyConstraint("rebalancing_id", "asset_id", name=op.f("pk_rebalancing_item")),
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
