"""An agent that says again what was recorded, and nothing else: answer by answer, in the order of the recording."""

import asyncio
from collections import deque
from contextlib import suppress

from gateway.testing.ports import free_port


class Player:
    """Answers the requests that were recorded; closes the connection where the agent did, and at any other request."""

    def __init__(self, exchanges):
        self.port = free_port()
        self.left = deque(exchanges)
        self.refused = []
        """Requests that were not recorded, or not as the next."""
        self._server = None
        self._streaming = None
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    def hang_up(self):
        """Close the connection with the stream, as the one who recorded it has done."""
        self._streaming.close()

    async def _talk(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            while await self._answer((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode(), writer):
                pass
        with suppress(asyncio.CancelledError):
            writer.close()

    async def _answer(self, target, writer):
        if not self.left or self.left[0].target != target:
            self.refused.append(target)
            return False
        one = self.left.popleft()
        writer.write(one.answer)
        await writer.drain()
        if one.streams:
            self._streaming = writer
        return not one.closed
