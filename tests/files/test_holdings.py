"""Holdings in the forms people have them: what is read, and what is refused by its cell."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from indexer.errors import ImportFileError, InputError
from indexer.files.holdings import Holding, parse_holdings, read_holdings

BOTH = [Holding("TAO", 1234.5), Holding("FET", 0.5)]
FORMS = {
    "lines": "TAO 1234.5\n\nFET 0.5\n",
    "amount first": "1234.5 TAO\n0.5 FET",
    "pairs by comma": "TAO,1234.5\nFET,0.5",
    "toml": "[holdings]\nTAO = 1234.5\nFET = 0.5",
    "toml rows": '[[holdings]]\nsymbol = "TAO"\namount = 1234.5\n[[holdings]]\nsymbol = "FET"\namount = 0.5',
    "json": '{"holdings": [{"symbol": "TAO", "amount": 1234.5}, {"symbol": "FET", "amount": "0.5"}]}',
    "json by name": '{"TAO": 1234.5, "FET": 0.5}',
    "cells of a sheet": "My coins\n\nName\tTicker\tPrice\tHoldings\nBittensor\tTAO\t$300\t1,234.50 TAO\n"
    "Fetch\tFET\t$1\t0.5 FET\nWatched\tNOS\t$1\t\nTotal\t\t$370,000\t",
    "another country": "\ufeffMünze;Währung;Menge\nBittensor;TAO;1.234,5\nFetch;FET;0,5",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_a_form_is_read(text: str) -> None:
    assert parse_holdings(text) == BOTH


def test_files_are_read_by_their_form(tmp_path: Path) -> None:
    for form, ending in (("toml", "toml"), ("json", "json"), ("another country", "csv"), ("cells of a sheet", "tsv")):
        path = tmp_path / f"{form}.{ending}"
        path.write_text(FORMS[form], encoding="utf-8")
        assert read_holdings(path) == BOTH
    (tmp_path / "windows.csv").write_bytes(FORMS["another country"].lstrip("\ufeff").encode("cp1252"))
    assert read_holdings(tmp_path / "windows.csv") == BOTH
    book = openpyxl.Workbook()
    book.active.append(["Notes"])
    sheet = book.create_sheet("Coins")
    for row in (["Coin", "Amount"], ["TAO", 1234.5], ["FET", 0.5]):
        sheet.append(row)
    book.save(tmp_path / "book.xlsx")
    assert read_holdings(tmp_path / "book.xlsx") == BOTH
    with pytest.raises(ImportFileError, match="is not there"):
        read_holdings(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "0 holdings"),
        ("symbol,amount\nTAO,1,029", "3 cells under 2 names"),
        ("symbol;amount\nTAO;1,029", '"1,029" is no amount'),
        ('{"TAO": -1}', '"-1" is no amount'),
        ('{"TAO": true}', '"True" is no amount'),
        ('{"TAO": NaN}', '"nan" is no amount'),
        (f'{{"TAO": 1{"0" * 400}}}', "is no amount"),
        ("coin,price\nTAO,300", "no column of amounts"),
        ("[1, 2]", "no holdings"),
        ("\n".join(f"T{n}X 1" for n in range(501)), "501 holdings"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        parse_holdings(text)


@pytest.mark.parametrize("text", ["a" + "," * 60_000, "1" + "," * 60_000 + " 5", f'{{"a": "1{" " * 60_000}x"}}'])
def test_what_is_pasted_is_read_in_one_pass(text: str) -> None:
    """Steps that grow with the square of 60,000 would take minutes; the largest body is so long."""
    with pytest.raises(InputError):
        parse_holdings(text)
