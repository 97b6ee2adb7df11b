"""The live work: what the scheduler does with the sources, one job a file. `jobs.py` lists them.

Place in the flow: scheduler → here → sources, reference → store. A job is idempotent by its due instant; a source
that fails costs its own evidence only, and a job fails when nothing at all could be had.
"""
