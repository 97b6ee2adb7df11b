"""The page at `/`: a template filled with what a reader needs without scripts, and static files beside it."""
