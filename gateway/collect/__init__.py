"""The southbound runtime: schedule, poll, recover, normalise. The one place in the house that retries a device.

May not enter: protocols, sockets, payloads, topics.
"""
