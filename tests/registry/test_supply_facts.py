"""The shipped supplies of the past: read strictly, true to their rules, and about tokens that are known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from indexer.errors import MethodologyError
from indexer.registry.supply_facts import load_supply_facts, read_supply_facts


def test_every_token_is_in_the_registry(registry_slugs: set[str]):
    assert {entry.slug for entry in load_supply_facts().token} <= registry_slugs


def test_rules_are_exact_and_published_figures_have_three_digits():
    facts = load_supply_facts()
    tao, theta = facts.of("tao"), facts.of("theta")
    assert {fact.tokens for fact in theta} == {1_000_000_000}
    halved = next(fact for fact in tao if fact.day == datetime(2026, 1, 1, tzinfo=UTC))
    assert halved.tokens == pytest.approx(10_500_000 + 17 * 3_600, rel=1e-3)  # 3,600 a day since 2025-12-15
    for entry in facts.token:
        for fact in entry.facts:
            if fact.grade != "rule":
                assert len(str(fact.tokens).rstrip("0")) <= 3, (entry.slug, fact)


def test_a_jump_says_why():
    """More than a fifth within a month, in proportion over longer gaps, without a step would act as a shock."""
    for entry in load_supply_facts().token:
        for before, fact in zip(entry.facts, entry.facts[1:], strict=False):
            months = max((fact.day - before.day) / timedelta(days=31), 1.0)
            if abs(fact.tokens / before.tokens - 1.0) > 0.2 * months:
                assert fact.step, (entry.slug, fact)


def test_what_does_not_hold_is_refused_with_every_problem():
    text = """
    [origins]
    rule = "by the protocol"
    [[token]]
    slug = "tao"
    facts = [
      { day = 2024-01-01, tokens = 5, grade = "rule", origin = "rule" },
      { day = 2023-01-01, tokens = 4, grade = "rule", origin = "elsewhere" },
    ]
    """
    with pytest.raises(MethodologyError, match=r'days must ascend(.|\n)*"elsewhere" is not among \[origins\]'):
        read_supply_facts(text, source="x.toml")
    with pytest.raises(MethodologyError, match='Did you mean "published"'):
        read_supply_facts(text.replace('"rule", origin = "elsewhere"', '"publishd", origin = "rule"'), source="x.toml")
