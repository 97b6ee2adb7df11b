"""Event studies on the real DeepSeek day: against statsmodels, members of that day, one clock for residuals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from fastapi.testclient import TestClient

from api.app import create_app
from indexer.analytics.event_study import EventWindows
from indexer.config import Settings
from indexer.errors import InputError, MethodologyError, NotEnoughDataError, NotFoundError
from indexer.studies.catalogue import event_at, find_event, load_events, other_events
from indexer.studies.events import event_path, study_event
from indexer.studies.report.blocks import percent
from indexer.studies.series import benchmark_series, index_series, make_frame, token_series
from indexer.times import DAY_US, from_us, iso, parse_instant


@pytest.fixture(scope="module")
def study(store):
    return study_event(store, "deai", "deepseek")


def test_the_interval_runs_from_fridays_close_to_mondays(study):
    assert iso(study.interval_start_us) == "2025-01-24T21:00:00Z"
    assert iso(study.interval_end_us) == "2025-01-27T21:00:00Z"
    assert study.policy.days_until == pytest.approx(2.0 + 23.0 / 24.0)


def test_the_study_leads_with_the_hours(store, study):
    """The story by the hour: down an eighth in the European morning, half of it back before New York closed."""
    levels = index_series(store, "deai")
    known = dict(zip(levels.times_us.tolist(), levels.values.tolist(), strict=True))
    start = known[parse_instant("2025-01-26T20:00:00Z")]
    assert (iso(study.path.start_us), study.path.start_level) == ("2025-01-26T20:00:00Z", start)
    hours = {iso(hour.time_us): hour for hour in study.path.hours}
    assert len(hours) == 25
    for at, about in (("08:00", -0.11), ("11:00", -0.13), ("14:00", -0.095), ("21:00", -0.07)):
        hour = hours[f"2025-01-27T{at}:00Z"]
        assert hour.level == known[hour.time_us]
        assert hour.change == hour.level / start - 1.0 == pytest.approx(about, abs=0.01)
    assert study.path.furthest == hours["2025-01-27T11:00:00Z"]
    assert study.path.last == hours["2025-01-27T21:00:00Z"]
    assert f"{percent(study.path.furthest.change)}" in study.path.statement


def test_a_window_names_its_largest_day_and_the_other_events_in_it(study):
    [wide] = [row for row in study.indices if (row.subject, row.first, row.factors) == ("deai", -1, ("QQQ",))]
    assert iso(wide.largest_at_us) == "2025-02-03T21:00:00Z"
    assert wide.largest_ar == min(wide.ar) == pytest.approx(-0.23, abs=0.01)
    assert wide.others == ("fomc-2025-01", "tariffs-2025-02")
    assert {(one.id, one.step) for one in study.overlaps} >= {("fomc-2025-01", 2), ("tariffs-2025-02", 5)}
    [day] = [row for row in study.indices if (row.subject, row.first, row.last) == ("deai", 0, 0)][:1]
    assert day.others == ()


def test_corrected_and_placebo_p_stand_beside_the_raw_one(study):
    rows = [row for row in study.indices if row.subject == "deai"]
    for row in rows:
        assert row.p <= row.p_holm <= 1.0
        assert 450 < row.n_placebo < 570
    assert min(row.p_holm for row in rows) >= 2.0 * min(row.p for row in rows)
    over = {(row.first, row.last): row.placebo_rejects for row in rows if row.factors == ("QQQ",)}
    assert over[0, 0] < over[-1, 5], "the longer window rejects too often"
    for block in study.members:
        assert block.placebo_rejects > 0.4, "BMP finds something on every other day"
        assert block.tests.p_bmp < 0.001
        assert block.p_placebo > 0.05


def test_what_was_told_is_put_against_the_data(study):
    claims = {claim.measured and round(claim.measured, 3): claim for claim in study.claims}
    assert claims[48571.22].difference == pytest.approx(48571.22 / 48000 - 1)
    assert claims[-0.030].basis.startswith("NQ=F from 2025-01-24T22:00:00Z")
    assert claims[None].basis == "not measured: the store holds no liquidations of these hours"


def test_any_date_can_be_studied(store, client):
    asked = study_event(store, "deai", event_at(parse_instant("2025-02-03")))
    days = event_at(parse_instant("2025-02-03"), until_us=parse_instant("2025-02-04"))
    assert days.until_us == parse_instant("2025-02-05"), "a bare date is that whole day"
    assert iso(asked.interval_end_us) == "2025-02-03T21:00:00Z"
    assert asked.path.furthest.time_us == parse_instant("2025-02-03T03:00:00Z")
    body = client.get("/v1/indices/deai/events/any?at=2025-02-03").json()
    assert (body["event"]["id"], body["event"]["at"]) == ("at-2025-02-03", "2025-02-03T00:00:00Z")
    utc = client.get("/v1/indices/deai/events/any?at=2025-02-03&clock=daily_utc").json()
    assert utc["interval_end"] == "2025-02-04T00:00:00Z", "the day itself, not the one that ends at its midnight"
    assert body["indices"][0]["car"] == pytest.approx(asked.indices[0].car, rel=1e-12)
    assert client.get("/v1/indices/deai/events/any").status_code == 404
    midnights = parse_instant("2025-02-01") + DAY_US * np.arange(5)
    [beside] = other_events([event_at(parse_instant("2025-02-04"))], event_at(parse_instant("2025-02-03")), midnights)
    assert beside.step == 1


def test_the_day_equals_a_statsmodels_forecast(store, study):
    frame = make_frame(store, index_series(store, "deai"), [benchmark_series(store, "QQQ")])
    row = int(np.searchsorted(frame.times_us, parse_instant("2025-01-27T21:00:00Z")))
    [day] = [
        one for one in study.indices if (one.subject, one.first, one.last) == ("deai", 0, 0) and len(one.factors) == 1
    ]
    fit = slice(row - 11 - 119, row - 11 + 1)
    oracle = sm.OLS(frame.y[fit], sm.add_constant(frame.x[fit, 0])).fit()
    ahead = oracle.get_prediction(np.array([[1.0, frame.x[row, 0]]]))
    assert day.car == pytest.approx(frame.y[row] - ahead.predicted_mean[0], rel=1e-9)
    assert day.car_sd == pytest.approx(ahead.se_obs[0], rel=1e-9)
    assert day.betas[0] == pytest.approx(oracle.params[1], rel=1e-9)
    assert day.n_estimation == 120


def test_members_are_those_of_that_day_and_a_missing_one_says_why(study):
    for block in study.members:
        assert {"kaito", "elizaos"}.isdisjoint(m.subject for m in block.members)
        assert {"tao", "near", "fet"} <= {m.subject for m in block.members}
        missing = [member for member in block.members if member.car is None]
        assert all(member.reason for member in missing)
        assert block.tests.n == len(block.members) - len(missing) >= 10


def test_residuals_of_members_with_different_lives_are_compared_on_one_clock(store, study):
    """The mean correlation of the residuals, once more by hand from returns joined on their instants."""
    block = study.members[0]
    residuals = {}
    for member in block.members:
        if member.n_estimation < 100:
            continue
        frame = make_frame(store, token_series(store, member.subject), [benchmark_series(store, "QQQ")])
        row = int(np.searchsorted(frame.times_us, parse_instant("2025-01-27T21:00:00Z")))
        fit = slice(row - 11 - 119, row - 11 + 1)
        keep = np.isfinite(frame.y[fit])
        y, x = frame.y[fit][keep], frame.x[fit, 0][keep]
        left = sm.OLS(y, sm.add_constant(x)).fit().resid
        residuals[member.subject] = dict(zip(frame.times_us[fit][keep].tolist(), left.tolist(), strict=True))
    names = sorted(residuals)
    found = []
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            common = sorted(residuals[one].keys() & residuals[other].keys())
            found.append(np.corrcoef([residuals[one][t] for t in common], [residuals[other][t] for t in common])[0, 1])
    # akt has 34 rows only and is left out here: the mean over all pairs is close, a shifted clock is far off
    assert block.tests.mean_correlation == pytest.approx(np.mean(found), abs=0.03)
    assert abs(block.tests.kolari_pynnonen) < abs(block.tests.bmp)


def test_the_path_ends_at_the_windows_car(store):
    event = find_event(load_events(store), "deepseek")
    path = event_path(store, "deai", event, factors=["QQQ"])
    wide = study_event(store, "deai", "deepseek", models=[["QQQ"]], windows=EventWindows(-5, 20, 120, -11))
    [same] = [one for one in wide.indices if (one.subject, one.first, one.last) == ("deai", -5, 20)]
    assert path.car[-1] == pytest.approx(same.car, rel=1e-9)
    assert path.low[-1] == pytest.approx(same.car_low, rel=1e-9)
    assert path.step.tolist() == list(range(-5, 21))


def test_a_join_by_date_reads_siblings_and_members_too(store):
    found = study_event(store, "deai", "deepseek", models=[["QQQ"]], clock="date_join")
    assert {row.subject for row in found.indices if row.n_estimation > 100} >= {"deai", "deai-ew"}
    assert sum(member.n_estimation > 100 for member in found.members[0].members) >= 10


def test_by_the_hour_against_btc_from_the_events_begin_to_its_end(store):
    found = study_event(store, "deai", "deepseek", models=[["btc"]], clock="hourly_utc", estimation=720)
    assert iso(found.interval_end_us) == "2025-01-26T20:00:00Z"
    first = found.indices[0]
    assert (first.first, first.last, first.n_estimation) == (1, 25, 720)
    assert first.raw == pytest.approx(np.log1p(found.path.last.change), rel=1e-9)
    assert first.car < 0.0, "no rise"
    assert first.p > 0.05


def test_own_events_stand_beside_the_shipped_ones(store, tmp_path):
    (tmp_path / "events.toml").write_text(
        '[[event]]\nid = "mine"\nname = "My day"\nat = 2024-05-01T14:00:00Z\nkind = "own"\nsources = ["me"]\n'
    )
    events = load_events(store, tmp_path)
    assert {"mine", "deepseek"} <= events.keys()
    assert study_event(store, "deai", "mine", events=events).event.name == "My day"
    own = Settings(data_dir=tmp_path, database_url=store.url)
    with TestClient(create_app(store, settings=own, clock=lambda: from_us(parse_instant("2026-11-24")))) as client:
        assert client.get("/v1/indices/deai/events/mine").json()["event"]["name"] == "My day"
        assert "My day" in client.get("/events/mine").text
        slugs = [item["slug"] for item in client.get("/v1/events").json()["data"]]
        assert {"mine", "deepseek", "chatgpt", "fomc-2026-12"} <= set(slugs)
        of_index = [item["id"] for item in client.get("/v1/indices/deai/events").json()["data"]]
        assert of_index == slugs == list(events)
    (tmp_path / "events.toml").write_text('[[event]]\nid = "mine"\nname = "x"\nat = 2024-05-01\nkind = "own"\n')
    with pytest.raises(MethodologyError, match=r"events\.toml: event mine: at least one source is needed"):
        load_events(store, tmp_path)


def test_what_cannot_be_studied_says_why(store):
    with pytest.raises(NotFoundError, match=r'no event "deepsek"\. Did you mean "deepseek"\?'):
        study_event(store, "deai", "deepsek")
    with pytest.raises(InputError, match="name at least one factor"):
        study_event(store, "deai", "deepseek", models=[[]])
    early = {"early": replace(load_events()["deepseek"], id="early", at_us=0)}
    with pytest.raises(
        NotEnoughDataError, match=r'event "early" lies outside the \d+ intervals that deai and QQQ share'
    ):
        study_event(store, "deai", "early", events=early)
    with pytest.raises(NotEnoughDataError, match='event "early" lies outside the returns that deai'):
        event_path(store, "deai", early["early"], factors=["QQQ"])
