"""What every request passes before the routes: identity, limits, keys, cache, headers. Plain ASGI, one idea a class."""
