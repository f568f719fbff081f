"""Typed happenings that become a log line and a metric; status that people and programs read. Imports only model."""
