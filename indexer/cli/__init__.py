"""The `deai` command. Each command imports what it needs when it runs, so that `--help` stays instant."""

from indexer.cli.main import app, main

__all__ = ["app", "main"]
