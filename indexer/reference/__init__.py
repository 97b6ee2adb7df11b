"""Many venue quotes → one reference rate, with every venue's verdict and a status. Pure.

Place in the flow: sources and gates deliver candles; this package makes the one price per asset that the
engine uses. Two ways in: `fixing_rates` from minute candles, and
`bar_rates` for the history of hourly and daily bars. Both say in `method` which one it was.
"""
