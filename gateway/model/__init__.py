"""Values that the whole house speaks in: tag types, schema, frame, quality, gap, batch, faults.

May not enter: I/O, clocks, logging, configuration. Everything here is a plain immutable value or a pure function.
"""
