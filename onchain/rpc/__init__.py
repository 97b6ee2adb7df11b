"""Asking the nodes of one chain, and believing only what they agree on.

`Pool` sends, fails over and waits; `Pinner` and `confirmed` say which block and which answer hold.
"""
