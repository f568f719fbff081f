"""The only sockets and serial ports in the house, the framers above them, and typed register tables.

May not enter: what a value means, retry policy, configuration files.
"""
