"""The asset registry: assets.toml and how it is read and checked. `indexer.assets` is the door to it."""
