"""Kit for our tests and for those of adapter authors: virtual clock, broker, simulated plant."""
