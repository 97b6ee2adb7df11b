"""Holdings as people have them → what is held and how much: pasted lines, CSV, TOML, JSON, the export of a sheet."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer.errors import ImportFileError, InputError
from indexer.files.containers import Table, tables_of
from indexer.files.layouts import column_words, key_of
from indexer.files.numbers import Style, parse_number, style_of
from indexer.files.text import blocks, decoded, delimiter_of, split, table_start

MOST, LARGEST = 500, 1e30
# Lines without a header, "TAO 12.5" or "12.5 TAO": a number, and what is not one. Possessive, so that the time is
# that of one pass, whatever is pasted.
NUMBER = r"[+-]?[\d.,'\u2019\u00a0\u202f]*\d"
LINES = [
    re.compile(rf"(?P<symbol>[^\d\s][^\s,;:=|]*+)[\s,;:=|]++(?P<amount>{NUMBER})"),
    re.compile(rf"(?P<amount>{NUMBER})[\s,;:=|]++(?P<symbol>[^\d\s,;:=|]\S*+)"),
]
UNIT = re.compile(r"(?<!\s)\s+[A-Za-z]{2,}$")  # of "12.5 TAO"
FORM = "give a table with a column of symbols and one of amounts, or lines such as TAO 12.5"


@dataclass(frozen=True, slots=True)
class Holding:
    """So many tokens of what its owner calls `symbol`: a symbol, a name, a pair such as TAO-USD."""

    symbol: str
    amount: float


def read_holdings(path: Path) -> list[Holding]:
    """The holdings in a file of any form that tables have here, or TOML; of a workbook the first sheet with some.

    Raises ImportFileError for a file that cannot be read, InputError for one without holdings.
    """
    problems: list[InputError] = []
    for table in [Table(path, "text")] if path.suffix.lower() == ".toml" else tables_of(path):
        try:
            return _of_table(table)
        except InputError as problem:
            problems.append(problem)
    first = problems[0]
    raise first if isinstance(first, ImportFileError) else InputError(f"{path.name}: {first}")


def parse_holdings(text: str) -> list[Holding]:
    """The holdings in a text: TOML, JSON, a table with a header, or lines of symbol and amount.

    Raises InputError for one without any, for more than MOST, and naming an amount that is no positive number.
    """
    text = text.lstrip("\ufeff")
    for load in (json.loads, tomllib.loads):
        try:
            document = load(text)
        except (ValueError, RecursionError):
            continue
        return _checked(_of_document(document))
    lines = [line for line in text.splitlines() if line.strip()]
    for form in LINES:
        matches = [match for line in lines if (match := form.fullmatch(line.strip()))]
        if lines and len(matches) == len(lines):
            return _checked((match["symbol"], match["amount"]) for match in matches)
    mark = delimiter_of(lines)
    rows = [split(line, mark) for line in lines[table_start(lines, mark) :]]
    return _checked(_of_rows(rows[0], rows[1:]) if rows else [])


def _of_table(table: Table) -> list[Holding]:
    if table.form in ("text", "json"):
        return parse_holdings(decoded(b"".join(block.content for block in blocks(table))))
    columns = [column.to_pylist() for column in table.whole.columns]
    return _checked(_of_rows(table.whole.column_names, list(zip(*columns, strict=True))))


def _of_document(document: Any) -> Iterable[tuple[object, object]]:
    """Symbol and amount of `{"TAO": 12.5}`, of rows with both, or of pairs; any of them under "holdings" too."""
    rows = document.get("holdings", document) if isinstance(document, dict) else document
    if isinstance(rows, dict):
        return list(rows.items())
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        return _of_rows(names, [[row.get(name) for name in names] for row in rows])
    if isinstance(rows, list) and all(isinstance(row, list) and len(row) == 2 for row in rows):
        return [(symbol, amount) for symbol, amount in rows]
    raise InputError(f"no holdings in this; {FORM}")


def _of_rows(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[tuple[object, object]]:
    """The cells of the two columns. Rows that hold nothing are none: blank, a total, a coin that is only watched."""
    symbol, amount = _column(header, "holding"), _column(header, "amount")
    wide = next((row for row in rows if len(row) > len(header)), None)
    if wide is not None:
        raise InputError(f"{len(wide)} cells under {len(header)} names: {', '.join(map(str, wide))[:80]}; {FORM}")
    pairs = [(row[symbol], row[amount]) for row in rows if len(row) > max(symbol, amount)]
    return [(name, cell) for name, cell in pairs if name not in (None, "") and cell not in (None, "")]


def _column(header: Sequence[str], role: str) -> int:
    """The place of the column of a role, by the word that says it best. Raises InputError naming the columns."""
    keys = [key_of(name) for name in header]
    for word in column_words()[role]:
        if key_of(word) in keys:
            return keys.index(key_of(word))
    what = "amounts" if role == "amount" else "symbols"
    raise InputError(f"no column of {what} among {', '.join(map(repr, header[:12]))}; {FORM}")


def _checked(pairs: Iterable[tuple[object, object]]) -> list[Holding]:
    cells = [(str(symbol).strip(), amount) for symbol, amount in pairs]
    if not cells or len(cells) > MOST:
        raise InputError(f"{len(cells)} holdings in this; {FORM}, at most {MOST}")
    words = [amount for _, amount in cells if isinstance(amount, str)]
    decimal, thousands = style_of(words, decimal="", thousands="")
    holdings = []
    for symbol, amount in cells:
        known = amount
        if isinstance(amount, str):
            known = parse_number(UNIT.sub("", amount.strip()), Style(decimal, thousands), scaled=True)
        if isinstance(known, bool) or not isinstance(known, int | float) or not 0.0 <= known <= LARGEST:
            raise InputError(f'{symbol[:40]}: "{str(amount)[:40]}" is no amount; write it as 1234.5, not below zero')
        holdings.append(Holding(symbol, float(known)))
    return [holding for holding in holdings if holding.amount > 0.0]
