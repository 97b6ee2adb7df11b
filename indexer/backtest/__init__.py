"""Other rules over stored history: one backtest, or a sweep of many, beside the published index.

Nothing here is published; each answer says which data it used and where they end.
"""
