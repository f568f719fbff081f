"""Xingsha Gateway: reads machines, normalises what they say, and brings it to a platform without losing any."""

__version__ = "0.1.0"
