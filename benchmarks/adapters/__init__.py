"""Benchmarks of single adapters: what a value of each protocol costs, end to end, beside what others need for it."""
