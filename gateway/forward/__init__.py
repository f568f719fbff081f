"""Lanes and payload codecs: from the bus to a platform, and what becomes of what a platform will not take.

May not enter: protocols of machines, sockets (sinks have them), configuration files.
"""
