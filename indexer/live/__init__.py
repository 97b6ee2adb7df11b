"""The scheduled work: what is done with the sources and the chains, one job a file. `jobs.py` lists them.

Place in the flow: scheduler → here → sources, reference → store. A job is idempotent by its due instant; a source
that fails costs its own part only, and a job fails when nothing at all could be had.
"""
