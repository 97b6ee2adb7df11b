"""Stored facts become official rates, a market and published levels: the pipeline.

Rules and arithmetic are the engine's; what may be published, restated or announced is decided here.
"""
