"""From the archive to tampering: whatever was published is derived again, or named where it cannot be.

Reads only; the one thing it writes is a new, empty store when it is asked to fill one again.
"""
