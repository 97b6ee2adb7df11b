"""Documents made from the same data as the levels: methodology pages, benchmark statements, factsheets."""
