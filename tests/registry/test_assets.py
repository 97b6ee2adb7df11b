"""The asset registry: what is shipped holds, labels resolve by date, and every defect is refused by name."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import MethodologyError
from indexer.registry import SHIPPED, Registry, load_registry
from indexer.registry.read import address_fault, read_registry
from indexer.times import to_us

SHARED = Path(__file__).parents[2] / ".." / "shared"
JULY_2024 = to_us(datetime(2024, 7, 1, tzinfo=UTC))
FET = "0xaea46A60368A7bD060eec7DF8CBa43b7EF41Ad85"
HEAD = '[sub_sectors]\nagents = "Agents"\ncompute = "Compute"\n'


def entry(slug: str = "aaa", **changes: str) -> str:
    keys = {
        "slug": f'"{slug}"',
        "name": '"A"',
        "symbols": f'[{{ symbol = "{slug.upper()}" }}]',
        "status": '"core"',
        "sub_sector": '"agents"',
        "chain": '"elsewhere"',
        "contract": f'"contract-of-{slug}"',
        "decimals": "18",
        "source": '"a test"',
    }
    return "[[asset]]\n" + "\n".join(f"{key} = {value}" for key, value in (keys | changes).items() if value) + "\n"


def step(start: str, end: str, *, ratio: str = "1.0", kind: str = "migration", year: int = 2024) -> str:
    return (
        f'[[succession]]\nfrom = "{start}"\nto = "{end}"\nratio = {ratio}\n'
        f'effective = {year}-01-01T00:00:00Z\nkind = "{kind}"\nsource = "a test"\n'
    )


def read(*entries: str) -> Registry:
    return read_registry(HEAD + "\n".join(entries), source="own.toml")


def refusal(*entries: str) -> str:
    with pytest.raises(MethodologyError) as caught:
        read(*entries)
    return str(caught.value)


def test_shipped_file_holds_with_checksums() -> None:
    registry = read_registry(SHIPPED.read_text(encoding="utf-8"), source="assets.toml")
    counts = {status: sum(asset.status == status for asset in registry.assets) for status in ("core", "watch")}
    assert counts == {"core": 19, "watch": 24}
    assert {asset.slug for asset in registry.assets if asset.status == "reference"} == {"btc", "eth", "sol"}


def test_shipped_assets_are_those_of_the_basket() -> None:
    basket = SHARED / "design" / "basket-2026.csv"
    if not basket.exists():
        pytest.skip(f"no {basket}: the design's basket is not beside this checkout")
    registry = load_registry()
    spot = ("binance", "coinbase", "kraken", "okx", "bybit")
    with basket.open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            asset = registry.by_slug.get(row["symbol"].lower())
            if asset is None or asset.status == "legacy":  # what is left out says so below; a legacy pair has ended
                continue
            native = row["contract"].startswith("native")
            assert asset.contract == ("native" if native else row["contract"])
            assert (asset.chain, asset.decimals) == (row["chain"], int(row["decimals"]))
            pairs = {listing.venue: listing.symbol for listing in asset.venues if listing.venue in spot}
            assert pairs == {venue: row[venue] for venue in spot if row[venue]}, asset.slug
            if "coingecko" in asset.ids:
                assert asset.ids["coingecko"] == row["coingecko_id"]
            # what has too few sources of price, or too young ones, waits as `watch`
            fitting = {row["proposed_status"]} | ({"watch"} if asset.slug in ("vvv", "trac", "grass") else set())
            assert asset.status in fitting, asset.slug


def test_tokens_that_could_not_be_identified_are_left_out() -> None:
    basket = SHARED / "design" / "basket-2026.csv"
    if not basket.exists():
        pytest.skip(f"no {basket}: the design's basket is not beside this checkout")
    with basket.open(encoding="utf-8") as rows:
        wanted = {row["symbol"].lower() for row in csv.DictReader(rows) if row["proposed_status"] in ("core", "watch")}
    assert wanted - set(load_registry().by_slug) == {"ub", "uai", "robo"}  # no contract known


def test_three_venues_or_more_price_nearly_every_core_token() -> None:
    spot = {"binance", "coinbase", "kraken", "okx", "bybit"}
    counts = {
        asset.slug: sum(listing.status != "unverified" and listing.venue in spot for listing in asset.venues)
        for asset in load_registry().assets
        if asset.status == "core"
    }
    assert {slug: count for slug, count in counts.items() if count < 3} == {"akt": 2}
    assert counts["tao"] == 5


def test_what_was_added_now_is_a_candidate_from_now_on() -> None:
    added = {
        asset.slug for asset in load_registry().assets if asset.candidate_from == datetime(2026, 12, 1, tzinfo=UTC)
    }
    assert {"ip", "vvv", "trac", "kite", "sahara", "0g", "vana", "pha", "arkm"} <= added
    assert not added & {"tao", "kaito", "grass", "virtual"}  # they were there before


def test_labels_resolve_to_identities_by_date() -> None:
    registry = load_registry()
    assert registry.resolve("RNDR", JULY_2024) is registry.by_slug["rndr"]
    assert registry.resolve(" render ", JULY_2024) is registry.by_slug["render"]
    assert registry.resolve("RENDER", to_us(datetime(2023, 11, 1, 23, 59, tzinfo=UTC))) is None
    assert registry.resolve("RENDER", to_us(datetime(2023, 11, 2, tzinfo=UTC))) is registry.by_slug["render"]
    assert registry.resolve("NOSUCH", JULY_2024) is None


def test_lines_follow_migrations_but_not_mergers() -> None:
    registry = load_registry()
    lines = registry.lines()
    assert [asset.slug for asset in lines["render"]] == ["rndr", "render"]
    assert [asset.slug for asset in lines["elizaos"]] == ["ai16z", "elizaos"]
    assert registry.by_slug["ai16z"].line_ratio == 6.0
    assert registry.by_slug["rndr"].line_ratio == 1.0
    assert [asset.slug for asset in lines["agix"]] == ["agix"]
    assert [asset.slug for asset in lines["fet"]] == ["fet"]
    assert "rndr" not in lines
    (upgrade,) = registry.successions_into("render")
    assert upgrade.effective == datetime(2024, 7, 26, tzinfo=UTC)


def test_every_symbol_of_the_imported_files_is_known_or_known_to_be_left_out() -> None:
    prices = SHARED / "data" / "tokens_daily.csv.gz"
    if not prices.exists():
        pytest.skip(f"no {prices}: the recorded market data are not beside this checkout")
    registry = load_registry()
    unknown = set()
    with gzip.open(prices, "rt", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            at_us = to_us(datetime.fromisoformat(row["date"]).replace(tzinfo=UTC))
            if registry.resolve(row["symbol"], at_us) is None:
                unknown.add(row["symbol"])
    assert unknown == {"FLUX", "ROSE"}  # native coins outside the basket


def test_ratio_of_a_line_is_the_product_of_its_steps() -> None:
    registry = read(
        entry("aaa"), entry("bbb"), entry("ccc"), step("aaa", "bbb", ratio="6"), step("bbb", "ccc", year=2025)
    )
    assert (registry.by_slug["aaa"].line, registry.by_slug["aaa"].line_ratio) == ("ccc", 6.0)
    assert [asset.slug for asset in registry.lines()["ccc"]] == ["aaa", "bbb", "ccc"]


def test_a_symbol_may_move_to_another_asset_at_a_date() -> None:
    registry = read(
        entry("aaa", symbols='[{ symbol = "X", valid_to = 2024-01-01 }]'),
        entry("bbb", symbols='[{ symbol = "X", valid_from = 2024-01-01 }]'),
    )
    moved = to_us(datetime(2024, 1, 1, tzinfo=UTC))
    before, after = registry.resolve("X", moved - 1), registry.resolve("X", moved)
    assert (before and before.slug, after and after.slug) == ("aaa", "bbb")


def test_an_own_file_may_extend_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('extends = "shipped"\n' + entry("mytoken") + entry("fet", name='"My FET"'), encoding="utf-8")
    registry = load_registry(own)
    assert registry.by_slug["mytoken"].symbol == "MYTOKEN"
    assert registry.by_slug["fet"].name == "My FET"
    assert registry.by_slug["rndr"].line == "render"
    own.write_text(HEAD + entry("mytoken"), encoding="utf-8")
    assert list(load_registry(own).by_slug) == ["mytoken"]


def test_bad_checksum_is_refused_with_entry_and_what_to_do() -> None:
    wrong = FET.replace("aea46A", "aea46a")
    message = refusal(entry(chain='"ethereum"', contract=f'"{wrong}"'))
    assert message == (
        f'own.toml: 1 problem\n  asset "aaa".contract: {wrong} has a wrong EIP-55 checksum: a character or a '
        "letter's case is wrong; copy it again from the issuer's page"
    )


def test_addresses_that_cannot_be_are_refused() -> None:
    assert "carries no EIP-55 checksum" in refusal(entry(chain='"base"', contract=f'"{FET.lower()}"'))
    assert "give 0x and 40 hexadecimal digits" in refusal(entry(chain='"ethereum"', contract='"0x1234"'))
    assert "not a Solana mint" in refusal(entry(chain='"solana"', contract='"BZLbGTNCSFfoth2GYDtwr7e4imWz"'))
    other = f'[{{ chain = "bsc", contract = "{FET.lower()}", decimals = 18, status = "verified" }}]'
    assert "other_contracts (bsc)" in refusal(entry(other_contracts=other))


@given(st.integers(0, 39))
def test_one_flipped_letter_breaks_a_checksum(place: int) -> None:
    flipped = list(FET)
    flipped[2 + place] = flipped[2 + place].swapcase()
    address = "".join(flipped)
    fault = address_fault("ethereum", address, checksums=True)
    assert fault == "" if address == FET else "wrong EIP-55 checksum" in fault


def test_one_identity_is_one_asset() -> None:
    same = '"contract-of-aaa"'
    assert 'asset "bbb": contract-of-aaa on elsewhere is also asset "aaa": contract-of-aaa on elsewhere' in refusal(
        entry("aaa"), entry("bbb", contract=same)
    )
    lower = entry("bbb", chain='"ethereum"', contract=f'"{FET}"')
    upper = entry("ccc", chain='"ethereum"', contract=f'"0x{FET[2:].upper()}"')
    assert "one identity is one asset, remove one" in refusal(lower, upper)
    assert 'slug "aaa" is there twice' in refusal(entry("aaa"), entry("aaa", contract='"x"', symbols='[{symbol="Y"}]'))


def test_one_symbol_at_one_time_is_one_asset() -> None:
    message = refusal(
        entry("aaa", symbols='[{ symbol = "X", valid_to = 2024-06-01 }]'),
        entry("bbb", symbols='[{ symbol = "x", valid_from = 2024-01-01 }]'),
    )
    assert 'symbol X: "aaa" and "bbb" carry it at the same time; give one of them valid_to' in message
    backwards = '[{ symbol = "X", valid_from = 2024-06-01, valid_to = 2024-01-01 }]'
    assert 'asset "aaa".symbols: X ends before it begins; swap the dates' in refusal(entry(symbols=backwards))


def test_unknown_words_come_with_the_nearest_known_one() -> None:
    message = refusal(entry(status='"cor"', decimal="18"), entry("bbb", sub_sector='"agent"'))
    assert 'asset "bbb".sub_sector: "agent" is not in [sub_sectors]. Did you mean "agents"?' in message
    assert 'asset "aaa".status: "cor" is not one of core, watch' in message and 'Did you mean "core"?' in message
    assert 'asset "aaa".decimal: there is no such key here. Did you mean "decimals"?' in message
    assert message.startswith("own.toml: 3 problems\n")
    unknown = refusal(entry(ids='{ coingeko = "x" }'))
    assert 'asset "aaa".ids.coingeko: "coingeko" is not one of coingecko' in unknown
    assert 'Did you mean "coingecko"?' in unknown


def test_missing_keys_and_wrong_types_are_all_reported() -> None:
    message = refusal(entry(name="", decimals='"18"', symbols="[]"))
    assert 'asset "aaa".name: is missing; give text' in message
    assert "asset \"aaa\".decimals: '18' is text, not a whole number" in message
    assert 'asset "aaa".symbols: is empty; give at least one' in message


def test_successions_that_cannot_be_are_refused() -> None:
    two = (entry("aaa"), entry("bbb"))
    assert "it is a circle; remove one step" in refusal(*two, step("aaa", "bbb"), step("bbb", "aaa"))
    assert "aaa -> aaa: it is a circle" in refusal(*two, step("aaa", "aaa"))
    assert 'succession "aaa": there is no asset "bbbb". Did you mean "bbb"?' in refusal(*two, step("aaa", "bbbb"))
    assert "it has two successors; keep one" in refusal(*two, step("aaa", "bbb"), step("aaa", "bbb"))
    assert "aaa -> bbb -> ccc -> aaa: it is a circle" in refusal(
        *two, entry("ccc"), step("aaa", "bbb"), step("bbb", "ccc"), step("ccc", "aaa")
    )
    assert '"bbb" already continues "aaa"; a line has one token at a time, write kind = "merger"' in refusal(
        *two, entry("ccc"), step("aaa", "bbb"), step("ccc", "bbb")
    )
    assert 'succession "bbb".effective: 2024-01-01T00:00:00+00:00 is not after that of "aaa"' in refusal(
        *two, entry("ccc"), step("aaa", "bbb"), step("bbb", "ccc")
    )
    for ratio in ("0.0", "-6"):
        message = refusal(*two, step("aaa", "bbb", ratio=ratio))
        assert f'succession "aaa".ratio: {ratio} must be above 0' in message


def test_files_that_are_no_registry_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MethodologyError, match="the asset registry cannot be read"):
        load_registry(tmp_path / "absent.toml")
    with pytest.raises(MethodologyError, match=r"own\.toml: this is not TOML: .*line 1"):
        read_registry("[[asset\nslug = 1", source="own.toml")
    assert "asset: there is none; give at least one [[asset]]" in refusal()
