"""The store: one database with all facts and all that was published, and the archive of raw bytes beside it.

A file reads and writes one noun; `db` opens the database, `tables` describes it, `bulk` carries many rows at once.
"""
