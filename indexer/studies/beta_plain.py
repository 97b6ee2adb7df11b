"""A beta as one flat object: the same keys whatever the method, for REST and for `deai beta --json`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from indexer.analytics.beta import BetaResult
from indexer.arrays import to_json
from indexer.studies.beta import IndexBeta
from indexer.times import iso

NUMBERS = [field.name for field in fields(BetaResult) if field.name != "warnings"]
COMMON = ("n", "beta", "se", "ci_low", "ci_high", "r2", "alpha_annualised", "confidence", "reason")


def flat_beta(found: IndexBeta) -> dict[str, Any]:
    """Every number of least squares, null where the method has none; how it was paired; the method's own `detail`."""
    estimate = found.estimate
    detail = to_json(estimate.detail, wire=True)
    flat = {name: detail.get(name) for name in NUMBERS}
    flat |= {name: getattr(estimate, name) for name in COMMON}
    flat["periods_per_year"] = found.periods_per_year
    return {
        "benchmark": found.benchmark,
        "benchmarks": list(found.benchmarks),
        "method": estimate.method,
        "sessions": found.sessions,
        "first_time": iso(found.first_us),
        "last_time": iso(found.last_us),
        **flat,
        "warnings": list(estimate.warnings),
        "alignment": {
            "clock": found.clock,
            "calendar": found.calendar,
            "price_basis": ", ".join(dict.fromkeys(found.price_basis)),
            "naive": found.naive,
            "pairs_used": found.pairs_used,
            "pairs_dropped": found.pairs_dropped,
            "reasons": list(found.reasons),
        },
        "sentinel": to_json(found.sentinel, wire=True),
        "blume": found.blume,
        "bootstrap": to_json(found.bootstrap, wire=True),
        "detail": None if estimate.method == "ols" else detail,
    }
