"""The same bars in the shapes that people have them in: read right, or asked for; never read wrong."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from import_samples import NOW
from openpyxl import Workbook

from indexer.errors import ImportFileError
from indexer.files.explain import explain_files
from indexer.files.importing import FileReport, import_files
from indexer.registry import Registry
from indexer.store.assets import read_listings
from indexer.store.bars import read_bars, read_benchmark_bars
from indexer.store.db import Store
from indexer.times import HOUR_US, iso, to_us

START = datetime(2025, 1, 20, tzinfo=UTC)
HOURS = [START + timedelta(hours=n) for n in range(6)]
DAYS = [START + timedelta(days=n) for n in range(8)]
SESSIONS = [datetime(2025, 1, day, tzinfo=UTC) for day in (13, 14, 15, 16, 17, 21, 22, 23)]
CLOSES = [5.01, 5.02, 5.03, 5.04, 5.05, 5.06, 5.07, 5.08]
SAID = {"symbol": "NEAR", "venue": "binance", "quote": "USDT", "timezone": "UTC"}
HEADER = "date,open,high,low,close,volume"
Take = Callable[..., FileReport]


def _prices(close: float) -> str:
    return f"{close - 0.01:.2f},{close + 0.05:.2f},{close - 0.05:.2f},{close:.2f}"


def _rows(stamps: list[datetime], form: str = "%Y-%m-%dT%H:%M:%SZ") -> list[str]:
    return [f"{at:{form}},{_prices(close)},10" for at, close in zip(stamps, CLOSES, strict=False)]


def _text(*lines: str) -> str:
    return "\n".join(lines) + "\n"


@pytest.fixture
def take(store: Store, registry: Registry, tmp_path: Path) -> Take:
    """Imports a file of a name and content, with what is said of it."""

    def imported(content: str | bytes | pd.DataFrame | Workbook, name: str = "x.csv", **options: str) -> FileReport:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pd.DataFrame):
            content.to_parquet(path)
        elif isinstance(content, Workbook):
            content.save(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        [report] = import_files(store, [path], registry=registry, clock=lambda: NOW, options=options).files
        return report

    return imported


def _bars(store: Store) -> dict[int, float]:
    bars = read_bars(store)
    return dict(zip(bars.time_us.tolist(), bars.close.tolist(), strict=True))


def _expected(stamps: list[datetime], step_us: int) -> dict[int, float]:
    return {to_us(at) + step_us: close for at, close in zip(stamps, CLOSES, strict=False)}


TEXTS: dict[str, str | bytes] = {
    "blanks after commas": _text(HEADER, *_rows(HOURS)).replace(",", ", "),
    "a comma at each end": "".join(f"{line},\n" for line in [HEADER, *_rows(HOURS)]),
    "a comma at each row's end": _text(HEADER, *(f"{row}," for row in _rows(HOURS))),
    "row names without a header": _text(HEADER, *(f'"{n}",{row}' for n, row in enumerate(_rows(HOURS), 1))),
    "comments first": _text("# mine", "# 2025", HEADER, *_rows(HOURS)),
    "a header behind a #": _text(f"#{HEADER}", *_rows(HOURS)),
    "empty lines around": _text("", "", HEADER, *_rows(HOURS), "", ""),
    "blanks between columns": _text(HEADER, *_rows(HOURS)).replace(",", " "),
    "pipes": _text(HEADER, *_rows(HOURS)).replace(",", "|"),
    "excel's sep": _text("sep=;", HEADER, *_rows(HOURS)).replace(",", ";"),
    "semicolons and decimal commas": _text(HEADER, *_rows(HOURS)).replace(",", ";").replace(".", ","),
    "a range index first": _text(f",{HEADER}", *(f"{n},{row}" for n, row in enumerate(_rows(HOURS)))),
    "date and time of day": _text("date,time,open,high,low,close,volume", *_rows(HOURS, "%Y-%m-%d,%H:%M")),
    "german date and time of day": _text(
        "Datum;Uhrzeit;Open;High;Low;Close;Volume", *(row.replace(",", ";") for row in _rows(HOURS, "%d.%m.%Y;%H:%M"))
    ),
    "words for no volume": _text(HEADER, *(row.replace(",10", ",N/A") for row in _rows(HOURS))),
    "a cell of 200 kB": _text(f"# {'x' * 200_000}", HEADER, *_rows(HOURS)),
    "open time": _text(HEADER.replace("date", "Open time"), *_rows(HOURS)),
    "openTime": _text(HEADER.replace("date", "openTime"), *_rows(HOURS)),
    "letters": _text("t,o,h,l,c,v", *_rows(HOURS)),
    "digits": _text(HEADER, *_rows(HOURS, "%Y%m%d%H%M")),
    "upper case": _text(HEADER.upper(), *_rows(HOURS)),
    "day first": _text(HEADER, *_rows(HOURS, "%d/%m/%Y %H:%M")),
    "month first": _text(HEADER, *_rows(HOURS, "%m/%d/%Y %I:%M %p")),
    "hours as numbers": _text("date,hour,open,high,low,close,volume", *_rows(HOURS, "%Y-%m-%d,%-H")),
    "times as digits": _text("date,time,open,high,low,close,volume", *_rows(HOURS, "%Y%m%d,%-H0000")),
    "UTF-16": _text(HEADER, *_rows(HOURS)).replace(",", "\t").encode("utf-16"),
    "german, latin-1": _text("Datum;Eröffnung;Höchst;Tiefst;Schluß;Volumen", *_rows(HOURS))
    .replace(",", ";")
    .encode("latin-1"),
    "with a currency": _text(
        "date;price",
        *(f"{at:%Y-%m-%dT%H:%MZ};{c:.2f} USDT".replace(".", ",") for at, c in zip(HOURS, CLOSES, strict=False)),
    ),
    "dollars in the header": _text(
        "Time (UTC),Open (USD),High (USD),Low ($),Close (USD)",
        *(row.rpartition(",")[0] for row in _rows(HOURS, "%Y-%m-%d %H:%M")),
    ),
    "grouped volumes beside decimal points": _text(HEADER, *(row[:-3] + ',"1,029"' for row in _rows(HOURS))),
    "dots": _text(HEADER, *_rows(HOURS, "%d.%m.%Y %H:%M:%S")),
}


@pytest.mark.parametrize("shape", TEXTS)
def test_a_text(take: Take, store: Store, shape: str) -> None:
    assert take(TEXTS[shape], stamp="bar_open", **SAID).rejected == 0
    assert _bars(store) == _expected(HOURS, HOUR_US)


def test_dates_in_which_day_and_month_could_be_swapped_are_asked_for(take: Take, store: Store) -> None:
    firsts = [datetime(2025, month, 1, tzinfo=UTC) for month in (3, 4, 5, 6)]
    text = _text(HEADER, *_rows(firsts, "%m/%d/%Y"))  # months, or the first days of January
    with pytest.raises(ImportFileError, match="date_format"):
        take(text, interval="1d", **SAID)
    take(text, interval="1d", date_format="%m/%d/%Y", **SAID)
    assert _bars(store) == _expected(firsts, 24 * HOUR_US)


def test_dates_that_one_order_makes_daily_bars_are_read_in_it(take: Take, store: Store) -> None:
    days = [datetime(2025, 2, day, tzinfo=UTC) for day in (3, 4, 5, 6)]
    take(_text(HEADER, *_rows(days, "%d/%m/%Y")), interval="1d", **SAID)
    assert _bars(store) == _expected(days, 24 * HOUR_US)


def test_hours_are_never_taken_as_days(take: Take, store: Store) -> None:
    with pytest.raises(ImportFileError, match="bars of 1d are said, and most stamps are 60 minutes apart"):
        take(_text(HEADER, *_rows(HOURS)), interval="1d", **SAID)
    assert _bars(store) == {}


def _frame() -> pd.DataFrame:
    closes = CLOSES[: len(HOURS)]
    prices = {"open": closes, "high": [c + 0.05 for c in closes], "low": [c - 0.05 for c in closes], "close": closes}
    return pd.DataFrame({**prices, "volume": 10.0}, index=pd.DatetimeIndex(HOURS))


FRAMES = {
    "zone": _frame(),
    "no zone": _frame().tz_localize(None),
    "index of numbers": _frame().rename_axis("timestamp").reset_index(),
    "ms": _frame().reset_index(drop=True).assign(timestamp=[to_us(at) // 1000 for at in HOURS]),
    "float seconds": _frame().reset_index(drop=True).assign(time=[to_us(at) / 1e6 for at in HOURS]),
    "text": _frame().astype(str).reset_index(drop=True).assign(time=[at.isoformat() for at in HOURS]),
    "decimals": _frame().assign(close=[Decimal(str(close)) for close in CLOSES[:6]]),
    "categories": _frame().assign(symbol=pd.Categorical(["NEAR"] * 6)),
}


@pytest.mark.parametrize("shape", FRAMES)
def test_a_frame(take: Take, store: Store, shape: str) -> None:
    assert take(FRAMES[shape], "x.PARQUET", **SAID).rejected == 0
    assert _bars(store) == _expected(HOURS, HOUR_US)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (_frame().assign(close=[[1]] * 6), 'column "close" is of the type list'),
        (_frame().reset_index(drop=True).assign(time=[{"a": 1}] * 6), "is not a time"),
        (_frame().reset_index(drop=True).assign(time=[at.time() for at in HOURS]), '"00:00:00" is not a time'),
    ],
)
def test_a_frame_of_other_things_is_refused(take: Take, frame: pd.DataFrame, why: str) -> None:
    with pytest.raises(ImportFileError, match=why):
        take(frame, "x.parquet", **SAID)


def _workbook(stamps: list[object], *, titles: int = 0, comma: bool = False) -> Workbook:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in [["My prices"], []][:titles]:
        sheet.append(row)
    sheet.append(HEADER.title().split(","))
    for at, close in zip(stamps, CLOSES, strict=False):
        cells = [float(cell) for cell in _prices(close).split(",")]
        sheet.append([at, *([f"{cell:.2f}".replace(".", ",") for cell in cells] if comma else cells), 10])
    return book


def _serial(at: datetime) -> float:
    return (at - datetime(1899, 12, 30, tzinfo=UTC)).total_seconds() / 86_400


SHEETS = {
    "dates": _workbook([at.replace(tzinfo=None) for at in HOURS]),
    "serials": _workbook([_serial(at) for at in HOURS]),
    "titles": _workbook([at.replace(tzinfo=None) for at in HOURS], titles=2),
    "texts": _workbook([f"{at:%d.%m.%Y %H:%M}" for at in HOURS], comma=True),
}


@pytest.mark.parametrize("shape", SHEETS)
def test_a_sheet(take: Take, store: Store, shape: str) -> None:
    assert take(SHEETS[shape], "x.XLSX", **SAID).rejected == 0
    assert _bars(store) == _expected(HOURS, HOUR_US)


def test_pairs_in_a_column_say_their_quotes(take: Take, store: Store) -> None:
    rows = [f"{at:%Y-%m-%dT%H:%MZ},{pair},{_prices(5.01)}" for at in HOURS for pair in ("NEAR/USDT", "FETUSD")]
    take(_text("date,pair,open,high,low,close", *rows), venue="okx")
    assert {(one.asset, one.quote) for one in read_listings(store)} == {("near", "USDT"), ("fet", "USD")}


def test_prices_side_by_side(take: Take, store: Store) -> None:
    rows = [f"{at:%Y-%m-%d},{close},{'' if n == 2 else close / 4}" for n, (at, close) in enumerate(zip(DAYS, CLOSES))]  # noqa: B905
    report = take(_text("date,NEAR,FET", *rows), venue="binance", quote="USDT", stamp="bar_open")
    assert (report.new, report.rejected) == (15, 0)
    bars = read_bars(store)
    assert sorted(bars.close.tolist()) == sorted([*CLOSES, *(c / 4 for n, c in enumerate(CLOSES) if n != 2)])


@pytest.mark.parametrize("by", ["Price", "Ticker"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_several_tickers_of_yfinance(store: Store, registry: Registry, tmp_path: Path, by: str, form: str) -> None:
    values = {("Close", "QQQ"): CLOSES, ("Close", "NVDA"): [c * 2 for c in CLOSES], ("Open", "NVDA"): CLOSES}
    frame = pd.DataFrame(values, index=pd.DatetimeIndex(SESSIONS, name="Date").tz_localize(None))
    frame.columns = pd.MultiIndex.from_tuples(frame.columns, names=["Price", "Ticker"])
    if by == "Ticker":
        frame = frame.swaplevel(axis="columns")
    path = tmp_path / f"prices.{form}"
    frame.to_csv(path) if form == "csv" else frame.to_parquet(path)
    [report] = import_files(store, [path], registry=registry, clock=lambda: NOW).files
    assert (report.new, report.rejected) == (16, 0)
    for symbol, closes in (("QQQ", CLOSES), ("NVDA", [c * 2 for c in CLOSES])):
        assert read_benchmark_bars(store, symbol, interval="1d")[1].tolist() == closes


def test_a_symbol_that_a_share_and_a_token_have_is_asked_for(take: Take) -> None:
    text = _text("Date,Open,High,Low,Close,Adj Close,Volume", *(f"{row},1" for row in _rows(SESSIONS, "%Y-%m-%d")))
    with pytest.raises(ImportFileError, match="--kind KIND"):
        take(text, "AR.csv")


@pytest.mark.parametrize("options", [{}, {"symbol": "PEPE"}, {"symbol": "PEPEUSDT"}])
def test_a_pair_whose_token_the_registry_lacks_says_what_to_do(take: Take, options: dict[str, str]) -> None:
    text = _text(HEADER, *_rows(HOURS))
    with pytest.raises(ImportFileError, match=r"^the registry has no token PEPE: .*DEAI_REGISTRY"):
        take(text, "PEPEUSDT-1h.csv", venue="binance", **options)
    with pytest.raises(ImportFileError, match=r"^mine\.csv .* does not say symbol"):
        take(text, "mine.csv", venue="binance")


def test_german_investing_com(take: Take, store: Store) -> None:
    header = '"Datum","Zuletzt","Eröffn.","Hoch","Tief","Vol.","+/- %"'
    rows = [f'"{at:%d.%m.%Y}","1.0{n}0,50","1.000,00","1.900,00","900,00","45,12M","-1,2%"' for n, at in enumerate(SESSIONS)]  # fmt: skip # noqa: E501
    take(_text(header, *reversed(rows)), "QQQ Historische Daten.csv")
    assert read_benchmark_bars(store, "QQQ", interval="1d")[1].tolist() == [1000.5 + 10 * n for n in range(8)]


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("binance_klines", "symbol quote"), ("kraken_ohlcvt", "symbol quote"), ("coingecko_csv", "symbol quote"),
        ("coinmarketcap", "symbol"), ("investing_com", "symbol"), ("yahoo_page", "symbol"), ("fred", ""),
        ("candles_json", "venue symbol quote"), ("coinbase_json", "symbol quote"), ("cryptodatadownload", "venue"),
    ],
)  # fmt: skip
def test_a_download_under_another_name_asks_for_what_its_name_said(
    store: Store, registry: Registry, tmp_path: Path, name: str, asked: str
) -> None:
    [sample] = [path for path in (Path(__file__).parent / "samples" / name).rglob("*") if path.is_file()]
    path = tmp_path / f"download{sample.suffix}"
    path.write_bytes(sample.read_bytes())
    try:
        import_files(store, [path], registry=registry, clock=lambda: NOW)
        command = ""
    except ImportFileError as error:
        command = str(error).splitlines()[-1]
    assert {word.lower() for word in command.split() if word.isupper()} == set(asked.split())


def test_members_of_a_zip_are_taken_each_for_itself(store: Store, registry: Registry, tmp_path: Path) -> None:
    rows = "".join(f"{to_us(at) // 1_000_000},{_prices(close)},1,2\n" for at, close in zip(HOURS, CLOSES))  # noqa: B905
    with zipfile.ZipFile(tmp_path / "Kraken.ZIP", "w") as archive:
        for member in ("a/NEARUSD_60.csv", "a/FETUSD_60.CSV", "a/NEARUSD_15.csv", "__MACOSX/._x.csv", "notes.txt"):
            archive.writestr(member, "some notes\n" if member == "notes.txt" else rows)
    reports = import_files(store, [tmp_path / "Kraken.ZIP"], registry=registry, clock=lambda: NOW).files
    assert {listing.asset for listing in read_listings(store)} == {"near", "fet"}
    assert [(report.new, report.problem.partition(": ")[2], bool(report.note)) for report in reports] == [
        (6, "", False),
        (6, "", False),
        (0, "bars of 15 are not kept; download 1m, 5m, 1h or 1d", False),
        (0, "", True),
    ]


def test_columns_told_by_their_number_must_hold_what_they_should(take: Take) -> None:
    rows = [[to_us(at) // 1000, c + 0.05, c - 0.05, c, c, 1.0] for at, c in zip(HOURS, CLOSES)]  # noqa: B905
    with pytest.raises(ImportFileError, match="no known download"):
        take(json.dumps(rows), "NEAR_USDT-1h.json", venue="binance")  # high, low, open, close: nobody's order


@pytest.mark.parametrize("stamp", ["23:59:59", "23:59:59.999"])
def test_the_last_instant_of_a_day_is_its_close(store: Store, registry: Registry, tmp_path: Path, stamp: str) -> None:
    rows = "".join(f"2025-01-{day} {stamp},5,6,4,5,10\n" for day in range(10, 16))
    (tmp_path / "near.csv").write_text("date,open,high,low,close,volume\n" + rows)
    options = {"symbol": "NEAR", "venue": "binance", "quote": "USDT", "interval": "1d"}
    import_files(store, [tmp_path / "near.csv"], registry=registry, clock=lambda: NOW, options=options)
    times = [iso(at) for at in read_bars(store).time_us.tolist()]
    assert times == [f"2025-01-{day}T00:00:00Z" for day in range(11, 17)]


@pytest.mark.parametrize(
    ("bars", "why"),
    [
        ((48, ""), "bars of 2880 minutes are not kept"),
        ((96, "1d"), "all stamps are 5760 minutes apart: these are longer bars"),
        ((4, "1h"), "all stamps are 240 minutes apart: these are longer bars"),
        ((4, ""), "bars of 240 minutes are not kept"),
    ],
)
def test_longer_bars_are_not_taken_for_the_interval(
    store: Store, registry: Registry, tmp_path: Path, bars: tuple[int, str], why: str
) -> None:
    hours, interval = bars
    start = pd.Timestamp("2024-06-01", tz="UTC")
    rows = "".join(f"{start + pd.Timedelta(hours=hours * n):%Y-%m-%dT%H:%M:%SZ},5,6,4,5,10\n" for n in range(12))
    (tmp_path / "near.csv").write_text("date,open,high,low,close,volume\n" + rows)
    options = {"symbol": "NEAR", "venue": "binance", "quote": "USDT", "interval": interval}
    with pytest.raises(ImportFileError, match=why):
        import_files(store, [tmp_path / "near.csv"], registry=registry, clock=lambda: NOW, options=options)


def test_weekly_closes_are_not_those_of_days(store: Store, registry: Registry, tmp_path: Path) -> None:
    days = pd.date_range("2024-06-03", periods=10, freq="W-MON")
    rows = "".join(f"{day:%Y-%m-%d},400,410,390,405,405,1000\n" for day in days)
    (tmp_path / "QQQ.csv").write_text("Date,Open,High,Low,Close,Adj Close,Volume\n" + rows)
    with pytest.raises(ImportFileError, match="a week apart or more; download daily closes"):
        import_files(store, [tmp_path / "QQQ.csv"], registry=registry, clock=lambda: NOW, options={"symbol": "QQQ"})


def test_the_order_of_day_and_month_is_answer_enough(store: Store, registry: Registry, tmp_path: Path) -> None:
    rows = "".join(f"01/{day:02d}/2025 10:00:00 AM,NEAR,5,6,4,5,10\n" for day in range(1, 13))
    (tmp_path / "x.csv").write_text("date,symbol,open,high,low,close,volume\n" + rows)
    options = {"venue": "binance", "quote": "USDT", "interval": "1d", "date_format": "%m/%d/%Y"}
    options["timezone"] = "UTC"
    [report] = explain_files([tmp_path / "x.csv"], registry=registry, clock=lambda: NOW, options=options)
    assert not report.refused.get("not a time"), report.refused


def test_a_decimal_mark_can_be_said(store: Store, registry: Registry, tmp_path: Path) -> None:
    rows = "".join(f'2025-01-{day},"95,200","95,900","94,100","95,300",1\n' for day in range(10, 16))
    (tmp_path / "btc.csv").write_text("date,open,high,low,close,volume\n" + rows)
    options = {"symbol": "BTC", "venue": "binance", "quote": "USDT", "interval": "1d"}
    for mark, close in (("thousands", 95300.0), ("decimal", 95.3)):
        [report] = explain_files(
            [tmp_path / "btc.csv"], registry=registry, clock=lambda: NOW, options={**options, mark: ","}
        )
        assert report.last[-1].values["close"] == close


def test_sheets_are_tables_of_their_own(take: Take, store: Store, registry: Registry, tmp_path: Path) -> None:
    book = Workbook()
    for title, factor in (("NEAR", 1), ("FET", 2)):
        sheet = book.create_sheet(title)
        sheet.append(["Datum", "Kurs"])
        for at, close in zip(DAYS, CLOSES, strict=True):
            sheet.append([at.replace(tzinfo=None), close * factor])
    del book["Sheet"]
    book.create_sheet("notes").append(["of", "mine"])
    book["NEAR"].insert_rows(1, 2)
    for column, cell in enumerate(("exported", datetime(2025, 1, 28)), 1):
        book["NEAR"].cell(1, column, cell)
    said = {"venue": "binance", "quote": "USDT", "stamp": "instant"}
    with pytest.raises(ImportFileError, match=r"\(NEAR, FET, notes\); say which by --sheet"):
        take(book, "two.xlsx", symbol="NEAR", **said)
    with pytest.raises(ImportFileError, match=r"--sheet FET --quote QUOTE"):
        take(book, "two.xlsx", venue="binance", sheet="FET")
    reports = import_files(store, [tmp_path / "two.xlsx"], registry=registry, clock=lambda: NOW, options=said).files
    assert [(report.name, report.new) for report in reports] == [
        ("two.xlsx/NEAR", 8),
        ("two.xlsx/FET", 8),
        ("two.xlsx/notes", 0),
    ]
    bars = read_bars(store)
    near = [one.id for one in read_listings(store) if one.asset == "near"]
    assert sorted(bars.close[bars.listing_id == near[0]].tolist()) == CLOSES


ZONES = {
    "hours without a zone": (_text(HEADER, *_rows(HOURS, "%Y-%m-%d %H:%M")), True),
    "digits without a zone": (_text(HEADER, *_rows(HOURS, "%Y%m%d%H%M")), True),
    "days": (_text(HEADER, *_rows(DAYS, "%Y-%m-%d")), False),
    "ends of days": (_text(HEADER, *_rows(DAYS, "%Y-%m-%d 23:59:59")), False),
    "epochs": (_text(HEADER, *_rows(HOURS, "%s")), False),
    "UTC in the name of the column": (
        _text(HEADER, *_rows(HOURS, "%Y-%m-%d %H:%M")).replace("date", "Date (UTC)"),
        False,
    ),
}


@pytest.mark.parametrize("shape", ZONES)
def test_the_zone_of_times_of_day_is_asked_for(take: Take, shape: str) -> None:
    text, asked = ZONES[shape]
    said = {name: word for name, word in SAID.items() if name != "timezone"}
    if asked:
        with pytest.raises(ImportFileError, match=r"--quote USDT --timezone TIMEZONE$"):
            take(text, **said)
    else:
        assert take(text, **said).rejected == 0


def test_a_table_of_a_share_needs_no_venue(take: Take, store: Store) -> None:
    text = _text(
        "time,open,high,low,close",
        *(f"{at:%Y-%m-%d} 09:30,{_prices(close)}" for at, close in zip(SESSIONS, CLOSES, strict=True)),
    )
    with pytest.raises(ImportFileError, match=r"--symbol COIN --kind KIND$"):
        take(text, "mine.csv", symbol="COIN")
    take(text, "mine.csv", symbol="qqq", timezone="America/New_York")
    assert read_benchmark_bars(store, "QQQ", interval="1d")[1].tolist() == CLOSES


BY_DAY = dict(zip(DAYS, CLOSES, strict=True))
SECONDS = [to_us(at) // 1_000_000 for at in DAYS]
JSONS = {
    "columns by stamp": {"close": dict(zip(SECONDS, CLOSES, strict=True)), "volume": {}},
    "rows by stamp": {
        "Meta": {"a": "b"},
        "Series": {f"{at:%Y-%m-%d}": {"4. close": str(c)} for at, c in BY_DAY.items()},
    },
    "split": {"columns": ["close"], "index": SECONDS, "data": [[c] for c in CLOSES]},
    "lists side by side": {"chart": {"result": [{"timestamp": SECONDS, "quote": [{"close": CLOSES}]}]}},
    "objects in rows": {
        "quotes": [{"time": f"{at:%Y-%m-%d}", "quote": {"USD": {"price": c}}} for at, c in BY_DAY.items()]
    },
}


@pytest.mark.parametrize("shape", JSONS)
def test_json(take: Take, store: Store, shape: str) -> None:
    assert take(json.dumps(JSONS[shape]), "x.json", stamp="instant", interval="1d", **SAID).rejected == 0
    assert _bars(store) == _expected(DAYS, 0)
