"""What every request passes before its route: identity, limits, keys, cache, headers. One idea a class."""
