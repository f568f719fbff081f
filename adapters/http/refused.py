"""What is said to a machine whose post is not taken."""

from __future__ import annotations


class Refused(Exception):
    """A request that is answered with a status of its own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
