"""Many venue quotes → one reference rate, with every venue's verdict and a status: of minutes and of bars. Pure."""
