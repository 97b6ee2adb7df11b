"""Benchmark administration: what may change after publication, who decides, what is said about it, and its proof."""
