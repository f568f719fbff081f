"""The typed, ordered, durable log of batches between the two halves of the gateway.

May not enter: what a value means, protocols, topics, payload formats.
"""
