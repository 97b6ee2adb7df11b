"""Alerts: rules in a TOML file, what crosses them kept in the store, and its delivery to people and programs."""
