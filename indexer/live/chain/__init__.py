"""Chains into the index: snapshots become supplies, activity becomes metrics, pool prices become checks.

Each piece of work writes under its run, keeps
its proofs in the archive and its findings in the quality log; none of it touches levels.
"""
