"""Score, token bucket, rate-limit pause and half-open breaker of one endpoint, on a clock made of numbers."""

from __future__ import annotations

from onchain.errors import Kind, redact_parts, redact_url
from onchain.rpc.pool import COOL_DOWN_S, Endpoint


def test_keys_never_show() -> None:
    assert redact_url("https://mainnet.infura.io/v3/0123456789abcdef") == "https://mainnet.infura.io/…"
    assert redact_url("https://user:secret@node.example:8545/") == "https://node.example:8545/…"
    assert redact_url("https://rpc.example?apikey=topsecret") == "https://rpc.example/…"
    assert redact_url("https://arb1.arbitrum.io") == "https://arb1.arbitrum.io"


def test_a_key_that_an_answer_repeats_does_not_show() -> None:
    url = "https://user:hunter2hunter2@node.example/v3/0123456789abcdef?apikey=topsecret99&x=short"
    said = "Cannot POST /v3/0123456789abcdef?apikey=topsecret99&x=short for user:hunter2hunter2, cut: '/v3/0123456789a'"
    assert redact_parts(said, url) == "Cannot POST /v3/…?apikey=…&x=short for user:…, cut: '/v3/…'"
    assert redact_parts("block not found", "https://arb1.arbitrum.io/rpc") == "block not found"


def test_breaker_opens_after_three_failures_then_lets_one_probe_through() -> None:
    e = Endpoint("https://a.example", 0)
    for _ in range(3):
        assert e.wait_s(100.0) == 0.0
        e.take(100.0)
        e.failed(Kind.UNAVAILABLE, now=100.0)
    assert e.wait_s(100.0) == COOL_DOWN_S
    assert e.wait_s(106.0) == 0.0
    e.take(106.0)
    assert e.wait_s(106.0) == float("inf")  # half open: one probe only
    e.failed(Kind.UNAVAILABLE, now=106.0)
    assert e.wait_s(106.0) == 2 * COOL_DOWN_S  # doubled
    e.take(120.0)
    e.succeeded(elapsed_s=0.1)
    assert not e.broken and e.wait_s(120.0) == 0.0


def test_retry_after_pauses_without_counting_as_broken() -> None:
    e = Endpoint("https://a.example", 0)
    for _ in range(5):
        e.failed(Kind.RATE_LIMIT, now=10.0, retry_after_s=7.0)
    assert e.wait_s(10.0) == 7.0 and not e.broken
    assert e.wait_s(17.0) == 0.0


def test_rate_limit_without_a_word_doubles_its_pause_until_an_answer_comes() -> None:
    e = Endpoint("https://a.example", 0)
    pauses, now = [], 0.0
    for _ in range(12):
        e.failed(Kind.RATE_LIMIT, now=now)
        pauses.append(e.wait_s(now))
        now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    e.succeeded(elapsed_s=0.1)
    e.failed(Kind.RATE_LIMIT, now=now)
    assert e.wait_s(now) == 1.0


def test_overloaded_node_that_says_how_long_is_left_alone_that_long() -> None:
    e = Endpoint("https://a.example", 0)
    e.failed(Kind.UNAVAILABLE, now=0.0, retry_after_s=20.0)
    assert e.wait_s(0.0) == 20.0 and e.wait_s(20.0) == 0.0 and not e.broken


def test_retry_after_is_capped() -> None:
    e = Endpoint("https://a.example", 0)
    e.failed(Kind.RATE_LIMIT, now=0.0, retry_after_s=1e9)
    assert e.wait_s(0.0) == 600.0


def test_reverts_say_nothing_about_health() -> None:
    e = Endpoint("https://a.example", 0)
    for _ in range(9):
        e.failed(Kind.REVERT, now=0.0)
    assert not e.broken and e.score == 1.0


def test_token_bucket_spreads_requests_over_the_rate() -> None:
    e = Endpoint("https://a.example", 0, rate_per_s=2.0, burst=3.0)
    assert [e.take(50.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]
    assert e.take(53.0) == 0.0  # refilled: -2 + 6, capped at 3


def test_rank_prefers_health_then_the_configured_order() -> None:
    own, public = Endpoint("https://own.example", 0), Endpoint("https://public.example", 1)
    assert min([public, own], key=Endpoint.rank) is own
    own.distrust()
    assert min([public, own], key=Endpoint.rank) is public


def test_missing_state_lowers_the_archive_score_only() -> None:
    e = Endpoint("https://a.example", 0)
    e.failed(Kind.MISSING_STATE, now=0.0)
    assert e.archive == 0.25 and e.score == 1.0
    e.served_old_state()
    assert e.archive > 0.25
