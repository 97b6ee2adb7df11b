"""A simulated market with a known beta, in a store of its own, to show the whole product without a network."""
