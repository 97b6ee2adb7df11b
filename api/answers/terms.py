"""What fields of answers made from dataclasses mean, for OpenAPI: by model and field, or by field in every model."""

TERMS: dict[str, str] = {
    "index": "Id of the index",
    "simulated": "True for a simulated index: its prices are invented, it is for trying the software only",
    "carried_weight": "Share of the index value whose price was carried",
    "units": "Index shares held",
    "Explanation.level_exact": "Value over divisor, before rounding",
    "Explanation.inputs_hold": "Whether hashing the inputs shown gives the inputs hash",
    "ExplainedConstituent.price": "USD for a unit of the line's token",
    "ExplainedConstituent.contribution": "To the return since the previous level; they add up to it",
    "Quote.verdict": "used, outlier, stale, …; not used for bars that the rate did not look at",
    "IndexStatus.state": "proposed, active, suspended, terminated",
    "CalendarEntry.exchange": "New York on that day: open, half-day or closed",
    "QualityItem.detail": "What was seen; `text` says it in words",
    "QualityList.open": "How many are open, in all",
    "RunItem.outcome": "running, done, failed or interrupted",
    "Beta.benchmarks": "All of them, for method multi; `beta` is that of the first",
    "Beta.first_time": "Close that the first return starts from",
    "Beta.n": "Pairs of returns used",
    "Beta.se": "Larger of se_ols and se_hac; carries the interval, t and p",
    "Beta.se_hac": "Newey-West with hac_lag lags",
    "Beta.p": "Two-sided, against beta = 0",
    "Beta.alpha": "Per session",
    "Beta.blume": "2/3 beta + 1/3",
    "Beta.bootstrap": "When asked for by bootstrap=true",
    "Beta.detail": "What only this method gives; null for ols, which is flat",
    "Alignment.naive": "True when the two sides' intervals do not match",
    "Alignment.pairs_dropped": "Intervals inside the window without a pair",
}


def meaning(model: str, field: str) -> str | None:
    """The description of a field of a model, None where its name says it all."""
    return TERMS.get(f"{model}.{field}", TERMS.get(field))
