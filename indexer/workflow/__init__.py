"""Ties settings to pieces of work: import and update, and what a named person decides.

The command line and the server start here; the pieces know nothing of settings.
"""
