"""The typed, ordered, durable log of batches between the two halves of the gateway.

May not enter: what a value means, protocols, topics, payload formats.
"""

from gateway.bus.open import open_bus
from gateway.bus.protocol import Bus, BusContext, Consumer

__all__ = ["Bus", "BusContext", "Consumer", "open_bus"]
