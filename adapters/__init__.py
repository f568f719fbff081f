"""Protocol adapters: one folder is one protocol, and holds all there is about it."""
