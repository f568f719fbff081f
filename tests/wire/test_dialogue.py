"""A dialogue trusts no answer that might belong to another question."""

import asyncio

import pytest

from gateway.model.faults import LinkLost, OutOfStep, ProtocolFault
from gateway.wire.connect import open_tcp
from gateway.wire.dialogue import Dialogue
from gateway.wire.framing import delimited
from gateway.wire.serving import StreamServer

LINES = delimited(b"\n", 100)


def over(body, answer, timeout=0.3):
    async def work():
        async with (
            StreamServer("127.0.0.1", 0, LINES, answer) as server,
            open_tcp("127.0.0.1", server.port, 1.0) as link,
        ):
            await body(Dialogue(link, LINES, timeout), server)

    return work


def test_questions_and_answers(run):
    async def body(dialogue, server):
        assert await dialogue.ask(b"one\n") == b"ONE"
        assert await dialogue.ask_all(b"two\nthree\n", 2) == [b"TWO", b"THREE"]
        assert await dialogue.ask(b"four\nfive\n", 2) == b"FIVE"
        assert server.counters.requests == 5

    run(over(body, lambda peer, line: line.upper() + b"\n"))


def test_a_late_answer_is_never_taken_for_the_next_ones(run):
    def answer(peer, line):
        asyncio.get_running_loop().call_later(0.3, peer.send, line.upper() + b"\n")
        return b""

    async def body(dialogue, server):
        with pytest.raises(OutOfStep, match="no answer within"):
            await dialogue.ask(b"one\n")
        with pytest.raises(LinkLost, match="overdue"):
            await dialogue.ask(b"two\n")

    run(over(body, answer, timeout=0.1))


def test_who_goes_away_in_the_middle_ends_the_dialogue(run):
    async def body(dialogue, server):
        task = asyncio.create_task(dialogue.ask(b"one\n"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert dialogue.link.lost

    run(over(body, lambda peer, line: b""))


def test_an_answer_that_comes_twice_ends_the_dialogue(run):
    async def body(dialogue, server):
        with pytest.raises(ProtocolFault, match="nobody asked for"):
            await dialogue.ask(b"one\n")
        with pytest.raises(LinkLost):
            await dialogue.ask(b"two\n")

    run(over(body, lambda peer, line: b"one\none\n"))


def test_an_answer_out_of_the_blue_ends_the_dialogue(run):
    async def body(dialogue, server):
        assert await dialogue.ask(b"one\n") == b"one"
        for peer in server.peers:
            peer.send(b"two\n")
        await asyncio.sleep(0.05)
        with pytest.raises(ProtocolFault, match="nobody asked for"):
            await dialogue.ask(b"three\n")

    run(over(body, lambda peer, line: line + b"\n"))


def test_listening_until_the_peer_falls_silent(run):
    async def body(dialogue, server):
        heard = []
        with pytest.raises(OutOfStep):
            await dialogue.listen(b"go\n", heard.append)
        assert heard == [b"1", b"2", b"3"]

    def answer(peer, line):
        for place in range(3):
            asyncio.get_running_loop().call_later(0.2 * place, peer.send, b"%d\n" % (place + 1))
        return b""

    run(over(body, answer, timeout=0.3))
