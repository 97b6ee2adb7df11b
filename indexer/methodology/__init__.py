"""The rules as data: an index's TOML file, the dated log of corporate actions, the policy of restatement.

Read strictly into frozen records with a hash; nothing here computes a level, reads the store or knows the time.
"""
