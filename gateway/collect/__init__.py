"""Southbound runtime: schedule, merge reads, device states, recovery, normalise. Knows adapters by contract only."""
