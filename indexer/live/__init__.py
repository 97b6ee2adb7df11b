"""The scheduled work with sources and chains, idempotent by its due instant. `jobs.py` lists it."""
