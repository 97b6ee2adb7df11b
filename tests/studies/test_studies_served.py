"""Every study over HTTP and on the command line is the object that Python gets."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from api.answers.schemas import of_index
from api.routes import statistics
from indexer.arrays import to_json
from indexer.cli.main import app
from indexer.studies.attribution import AttributionStudy, study_attribution
from indexer.studies.beta import flat_beta, index_beta
from indexer.studies.breadth import BreadthStudy, study_breadth
from indexer.studies.breaks import BreakStudy, study_breaks
from indexer.studies.compare import BetaComparison, ConstituentBetas, compare_betas, constituent_betas
from indexer.studies.drawdowns import AnalogueTable, DrawdownStudy, compare_episodes, study_drawdowns
from indexer.studies.events import EventStudy, study_event
from indexer.studies.fundamentals import FundamentalsStudy, study_fundamentals
from indexer.times import DAY_US, iso, parse_instant, to_us

END = parse_instant("2025-01-31")
AT = parse_instant("2025-01-28")
SHOCK = parse_instant("2025-01-27T14:30:00Z")
SPAN = {"start_us": parse_instant("2025-01-24T21:00Z"), "end_us": parse_instant("2025-01-27T21:00Z")}
BASE = "/v1/indices/deai"
# (REST, command line, model, Python)
CASES = [
    (
        "/beta/compare?benchmarks=QQQ,SMH&sessions=90&end=2025-01-31",
        "beta deai -b QQQ -b SMH --compare --end 2025-01-31",
        BetaComparison,
        lambda s: compare_betas(s, ["deai"], ["QQQ", "SMH"], sessions=90, end_us=END),
    ),
    (
        "/beta/constituents?sessions=90&end=2025-01-28",
        "beta deai -b QQQ --constituents --end 2025-01-28",
        ConstituentBetas,
        lambda s: constituent_betas(s, "deai", sessions=90, end_us=AT),
    ),
    ("/events/deepseek", "event deepseek", EventStudy, lambda s: study_event(s, "deai", "deepseek")),
    (
        "/drawdowns?min_depth=0.2&bar=hourly",
        "drawdown deai --min-depth 0.2 --bar hourly",
        DrawdownStudy,
        lambda s: study_drawdowns(s, "deai", min_depth=0.2, bar="hourly"),
    ),
    (
        "/drawdowns/analogues",
        "drawdown deai --analogues",
        AnalogueTable,
        lambda s: compare_episodes(s, ["deai", "btc"]),
    ),
    (
        "/attribution?start=2025-01-24T21:00Z&end=2025-01-27T21:00Z",
        "attribution deai --start 2025-01-24T21:00Z --end 2025-01-27T21:00Z",
        AttributionStudy,
        lambda s: study_attribution(s, "deai", **SPAN),
    ),
    (
        "/breadth?at=2025-01-28",
        "breadth deai --at 2025-01-28",
        BreadthStudy,
        lambda s: study_breadth(s, "deai", at_us=AT),
    ),
    (
        "/fundamentals?at=2025-01-28&days=2",
        "fundamentals deai --at 2025-01-28 --days 2",
        FundamentalsStudy,
        lambda s: study_fundamentals(s, "deai", at_us=AT, days=2),
    ),
    ("/breaks?benchmark=QQQ", "breaks deai -b QQQ", BreakStudy, lambda s: study_breaks(s, "deai", at_us=SHOCK)),
]


@pytest.fixture(scope="module")
def command(store, settings):
    def run(line: str, *more: str) -> str:
        made = CliRunner().invoke(app, [*line.split(), *more], env={"DEAI_DATA_DIR": str(settings.data_dir)})
        assert made.exit_code == 0, made.output
        return made.stdout

    return run


@pytest.mark.parametrize("case", CASES, ids=[case[0].split("?")[0] for case in CASES])
def test_three_doors_one_object(store, client, command, case):
    address, line, result, python = case
    answer = client.get(BASE + address)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    of_index(result).model_validate(body)
    mine = json.loads(json.dumps(to_json(python(store), wire=True)))
    assert {name: body[name] for name in mine} == mine
    assert (body["index"], body["simulated"]) == ("deai", False)
    said = json.loads(command(line, "--json"))
    assert (said[0] if isinstance(said, list) else said) == mine


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("/beta?end=2025-01-31", "beta near -b QQQ --end 2025-01-31"),
        ("/drawdowns?min_depth=0.3", "drawdown near --min-depth 0.3"),
        ("/events/deepseek?factors=QQQ", "event deepseek --index near -f QQQ"),
    ],
)
def test_a_token_has_the_statistics_of_the_command_line(client, command, address, line):
    body = client.get(f"/v1/assets/NEAR{address}").json()
    said = json.loads(command(line, "--json"))
    mine = said[0] if isinstance(said, list) else said
    assert body["index"] == "near"
    assert {name: body[name] for name in mine} == mine


def test_a_token_has_its_prices_as_rows_csv_and_parquet(client):
    window = "start=2025-01-27&end=2025-01-27T02:00:00Z"
    body = client.get(f"/v1/assets/near/prices?interval=1h&{window}").json()
    assert [(row["time"], row["price"]) for row in body["data"]] == [
        ("2025-01-27T00:00:00Z", 4.759), ("2025-01-27T01:00:00Z", 4.677),
    ]  # fmt: skip
    assert body["simulated"] is False
    text = client.get(f"/v1/assets/near/prices?interval=1h&{window}&format=csv").text
    assert text.splitlines() == ["time,price", "2025-01-27T00:00:00Z,4.759", "2025-01-27T01:00:00Z,4.677"]
    assert client.get("/v1/assets/near/prices").json()["count"] == 1000, "the newest, where nothing is said"
    table = parquet.read_table(io.BytesIO(client.get("/v1/assets/near/prices.parquet?interval=1d").content))
    assert table.column_names == ["time", "price"]
    assert client.get("/v1/assets/nearr/prices").status_code == 404


@pytest.mark.parametrize("line", [case[1] for case in CASES])
def test_people_get_tables_and_sentences(command, line):
    text = command(line)
    assert len(text.splitlines()) > 3
    assert "nan" not in text.lower().split()


def test_beta_by_method_is_flat_and_the_same_everywhere(store, client, command):
    query = "benchmark=QQQ&sessions=250&end=2025-01-31"
    for method in ("ols", "dimson", "kalman", "downside", "quantile", "ewma", "scholes_williams"):
        body = client.get(f"{BASE}/beta?{query}&method={method}").json()
        statistics.Beta.model_validate(body)
        mine = flat_beta(index_beta(store, "deai", "QQQ", method=method, sessions=250, end_us=END))
        assert {name: body[name] for name in mine} == json.loads(json.dumps(mine))
        line = f"beta deai -b QQQ --sessions 250 --end 2025-01-31 --method {method}"
        assert json.loads(command(line, "--json")) == [{"index": "deai", **json.loads(json.dumps(mine))}]
    both = client.get(f"{BASE}/beta?benchmark=QQQ,btc&method=multi&sessions=250&end=2025-01-31&bootstrap=true").json()
    statistics.Beta.model_validate(both)
    assert [factor["name"] for factor in both["detail"]["factors"]] == ["QQQ", "btc"]
    assert both["bootstrap"]["beta_low"] < both["bootstrap"]["beta_high"]


@pytest.mark.parametrize("kind", ["ewma", "kalman", "kalman_smoothed"])
def test_beta_over_time_says_what_kind_it_is(client, kind):
    body = client.get(f"{BASE}/beta/history?kind={kind}&start=2025-01-20&end=2025-02-01").json()
    statistics.BetaHistory.model_validate(body)
    assert (body["kind"], body["hindsight"]) == (kind, kind == "kalman_smoothed")
    assert all(row["beta"] is not None for row in body["data"])


@pytest.mark.parametrize("path", ["/beta?sessions=90", "/drawdowns?bar=daily", "/breadth?at=2025-01-28"])
def test_a_statistic_is_of_what_was_known_at_an_instant(client, history_now, path):
    known, before = iso(to_us(history_now)), iso(to_us(history_now) - DAY_US)
    assert client.get(f"{BASE}{path}&as_of={known}").json() == client.get(f"{BASE}{path}").json()
    early = client.get(f"{BASE}{path}&as_of={before}")
    assert early.status_code == 409 and f"had no level by {before}" in early.json()["detail"]


def test_beta_over_time_leaves_out_its_end(client):
    """[start, end): consecutive windows neither repeat nor lose a close."""

    def times(start, end):
        body = client.get(f"{BASE}/beta/history?start={start}&end={end}&shape=columns").json()
        return body["data"]["time"]

    assert times("2025-01-30", "2025-01-31T00:00:00Z") == ["2025-01-30T21:00:00Z"]
    assert times("2025-01-30", "2025-01-31T21:00:00Z") == ["2025-01-30T21:00:00Z"]
    whole = times("2025-01-27", "2025-02-01")
    assert times("2025-01-27", "2025-01-29T21:00:00Z") + times("2025-01-29T21:00:00Z", "2025-02-01") == whole


def test_the_events_of_an_index_say_whether_it_covers_them(client, command):
    body = client.get("/v1/indices/deai-agents/events").json()
    covered = {one["id"]: one["covered"] for one in body["data"]}
    assert covered["deepseek"] is True
    assert "deepseek" in command("event list")


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/deia/drawdowns", 404, 'Did you mean "deai"?'),
        ("/deai/events/deepsek", 404, 'no event "deepsek". Did you mean "deepseek"?'),
        ("/deai/events/deepseek?factors=QQK", 404, 'No benchmark "QQK". Did you mean "QQQ"?'),
        ("/deai/events/deepseek?factors=;", 422, "name at least one factor"),
        ("/deai/events/deepseek?estimation=5", 422, "greater than or equal to 30"),
        ("/deai/breaks?at=2023-01-05", 409, "30 are needed on each side"),
        ("/deai/breaks?event=nothing", 404, 'no event "nothing"'),
        ("/deai/attribution?start=2025-01-02&end=2025-01-01", 422, "is not after start"),
        ("/deai/attribution", 422, "query/start: Field required"),
        ("/deai/drawdowns?fall=5", 422, "query/fall"),
        ("/deai/breadth?at=2020-01-01", 404, "its history starts later"),
        ("/deai/drawdowns?fall=0.05,0.0", 422, "query/fall"),
        ("/deai/drawdowns?bar=weekly", 422, "query/bar"),
        ("/deai/beta?method=olsx", 422, "query/method"),
        ("/deai/beta?benchmark=QQQ,SMH", 422, 'use method "multi"'),
        ("/deai/beta?benchmark=NVDA&clock=hourly_utc", 409, "are needed"),
        ("/deai/beta/compare?benchmarks=QQK", 404, 'No benchmark "QQK"'),
    ],
)
def test_what_cannot_be_answered_says_why(client, address, status, said):
    answer = client.get("/v1/indices" + address)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("beta deai -b QQK", 3, 'No benchmark "QQK". Did you mean "QQQ"?'),
        ("event deepsek", 3, 'no event "deepsek"'),
        ("breaks deai --at 2023-01-05", 4, "30 are needed on each side"),
        ("attribution deai --start 2025-01-02 --end 2025-01-01", 2, "is not after start"),
        ("report deepseek --out report.txt", 2, '"report.txt" must end in .html or .pdf'),
    ],
)
def test_a_command_that_fails_has_its_exit_code_and_one_line(store, settings, line, code, said):
    program = [sys.executable, "-c", "from indexer.cli import main; main()", *line.split()]
    made = subprocess.run(
        program, capture_output=True, text=True, timeout=600, check=False, env={"DEAI_DATA_DIR": str(settings.data_dir)}
    )
    assert made.returncode == code
    assert said in made.stderr
    assert len(made.stderr.strip().splitlines()) == 1


def test_what_followed_falls_of_any_size(client):
    answer = client.get(f"{BASE}/drawdowns?fall=0.1,0.15")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert [one["fall"] for one in body["after_falls"]] == [0.1, 0.15]
    rows = body["after_falls"][0]["rows"]
    assert [one["horizon"] for one in rows] == [1, 5, 20]
    assert len({one["n_all"] for one in rows}) == 1
    assert rows[0]["n_all"] > 10
    assert rows[2]["n"] < rows[0]["n"], "the overlap rule"
