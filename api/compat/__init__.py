"""Protocols of other people's tools, one file each, over the answers that REST and the client give.

A file here renames and reshapes an answer; it computes nothing, so that a number is the same in every tool.
"""
