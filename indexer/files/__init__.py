"""People's own files: a manifest says what columns mean, gates say which rows hold, and the rest is imported.

A file that does not hold is refused with its line and reason; nothing of it is half written.
"""
