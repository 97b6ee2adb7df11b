"""The page at `/`: a template filled with what a reader needs without scripts. Static files stand beside it."""
