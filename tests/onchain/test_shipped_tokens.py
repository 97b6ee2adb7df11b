"""The shipped rules and chains: every token of the basket, checksums, decimals, reasons; and what bad rules say."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address

from onchain.chains import load_chains
from onchain.errors import ChainConfigError
from onchain.supply import reads_of
from onchain.tokens import BURN_ADDRESS, load_tokens

BASKET = Path(__file__).parents[2] / ".." / "shared" / "design" / "basket.csv"
DATA = Path(__file__).parents[2] / "onchain"
T = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def test_every_token_of_the_basket_has_a_working_rule_or_a_stated_reason() -> None:
    if not BASKET.exists():
        pytest.skip("shared/design/basket.csv is not beside the repository")
    tokens, chains = load_tokens(), load_chains()
    rows = list(csv.DictReader(BASKET.read_text(encoding="utf-8").splitlines()))
    assert {row["symbol"] for row in rows} == set(tokens)
    for row in rows:
        token = tokens[row["symbol"]]
        assert token.legs or token.reported_reason
        for read in reads_of(token, T):
            assert read.chain in chains, read
        if token.legs and row["primary_address"].startswith("0x"):
            assert row["primary_address"].lower() in {leg.asset.lower() for leg in token.legs}


def test_addresses_of_the_shipped_data_carry_their_checksum() -> None:
    """A letter mistyped in a contract, a holder, a feed or a factory is another account: EIP-55 shows it."""
    found = set()
    for name in ("tokens.toml", "chains.toml"):
        found |= set(re.findall(r"0x[0-9a-fA-F]{40}(?![0-9a-fA-F])", (DATA / name).read_text(encoding="utf-8")))
    assert len(found) > 40
    assert {address for address in found if address != to_checksum_address(address)} <= {
        "0x37672dda85f3cb8da4098baac5d84e00960cb081"
    }


def test_decimals_of_the_shipped_rules_are_those_of_the_basket() -> None:
    if not BASKET.exists():
        pytest.skip("shared/design/basket.csv is not beside the repository")
    tokens = load_tokens()
    for row in csv.DictReader(BASKET.read_text(encoding="utf-8").splitlines()):
        listed = {
            a.split(":")[1].lower(): int(a.split(":")[2])
            for a in row["other_addresses"].split("; ")
            if a.count(":") == 2
        }
        listed[row["primary_address"].lower()] = int(row["decimals"])
        for leg in tokens[row["symbol"]].legs:
            assert listed.get(leg.asset.lower(), leg.decimals) == leg.decimals, (row["symbol"], leg)


def test_every_exclusion_is_dated_reasoned_and_sourced() -> None:
    for token in load_tokens().values():
        for exclusion in token.exclude:
            assert exclusion.reason and exclusion.source and exclusion.valid_from
        assert all(tranche.source for tranche in token.vesting)


def test_burn_address_is_excluded_on_counted_evm_networks_only() -> None:
    token = load_tokens()["GRT"]
    assert {(e.chain, e.holder) for e in token.exclude} == {("ethereum", BURN_ADDRESS), ("arbitrum", BURN_ADDRESS)}
    assert {e.chain for e in load_tokens()["VIRTUAL"].exclude} == {"ethereum"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[X]\nname="x"\ndecimals=18\nfixed=1\nfeeds=[{chain="e", address="0x0", pair="X / ETH", heartbeat_s=1}]',
            r'X\.feeds\[1\]\.pair: "X / ETH" does not price in USD',
        ),
        (
            '[X]\nname="x"\ndecimals=18\nfixed=1\nfeeds=[{chain="e"}]',
            r"X\.feeds\[1\]\.address: is missing; give text",
        ),
        ('[X]\nname="x"\ndecimals=18\n', "give legs, fixed, or the reason why it is only reported"),
        ('[X]\nname="x"\ndecimals=18\nleggs=[]\n', r'X\.leggs: there is no such key here. Did you mean "legs"'),
        (
            '[X]\nname="x"\ndecimals=18\nlegs=[{chain="a",asset="b",decimals=1,role="mirror"}]\n',
            r'X\.legs\[1\]\.role: "mirror" is not one of',
        ),
        (
            '[X]\nname="x"\ndecimals=18\nlegs=[{chain="a",asset="b"}]\n',
            r"X\.legs\[1\]\.decimals: is missing; give a whole number",
        ),
    ],
)
def test_bad_rules_name_token_and_key(text: str, message: str) -> None:
    with pytest.raises(ChainConfigError, match=message):
        load_tokens(text=text)


def test_own_endpoints_come_first_and_unknown_chains_are_named() -> None:
    chains = load_chains(own_endpoints={"ethereum": ["https://mine.example"]})
    assert chains["ethereum"].endpoints[0] == "https://mine.example" and len(chains["ethereum"].endpoints) > 2
    with pytest.raises(ChainConfigError, match=r'no chain "etherium"\. Did you mean "ethereum"\?'):
        load_chains(own_endpoints={"etherium": ["https://mine.example"]})
    with pytest.raises(ChainConfigError, match=r'x\.familly: there is no such key here\. Did you mean "family"\?'):
        load_chains(text='[x]\nfamilly="evm"')


def test_public_names_load_lazily_and_the_pure_part_opens_no_sockets() -> None:
    import subprocess
    import sys

    import onchain

    assert all(getattr(onchain, name) is not None for name in onchain.__all__)
    with pytest.raises(AttributeError, match="module 'onchain' has no attribute 'nope'"):
        _ = onchain.nope
    code = (
        "import sys, onchain.supply; print('aiohttp' in sys.modules, 'web3' in sys.modules, 'indexer' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False"]
    code = "import sys, onchain; onchain.snapshot; print('web3' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_operators_are_named_in_the_file_and_own_endpoints_by_their_host() -> None:
    ethereum = load_chains(own_endpoints={"ethereum": ["https://me:secret@node.example/key"]})["ethereum"]
    assert [ethereum.operator(url) for url in ethereum.endpoints[:2]] == ["node.example", "publicnode"]
    mirror = ethereum.at_mirror("http://127.0.0.1:9/chain/")
    assert mirror.endpoints[1] == "http://127.0.0.1:9/chain/ethereum/publicnode"
    assert [mirror.operator(url) for url in mirror.endpoints] == [ethereum.operator(url) for url in ethereum.endpoints]
    with pytest.raises(ChainConfigError, match=r"x\.endpoints"):
        load_chains(text='[x]\nfamily="evm"\nendpoints={a=3}')


@pytest.mark.parametrize("name", [name for name, chain in load_chains().items() if chain.family == "evm"])
def test_every_shipped_evm_chain_has_three_operators(name: str) -> None:
    chain = load_chains()[name]
    assert len({chain.operator(url) for url in chain.endpoints}) >= 3
