"""A simulated plant: machines with believable physics, each a dictionary of engineering values that moves with time.

May not enter: protocols, registers, sockets, the clock. Time is given by `Plant.step`; what a value looks like on the
wire is said by the machine's profile. `serve` is the one module that knows both sides.
"""

from gateway.testing.plant.machine import Machine
from gateway.testing.plant.plant import KINDS, Plant

__all__ = ["KINDS", "Machine", "Plant"]
