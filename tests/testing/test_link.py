"""A link without a network: exchanges, silence, closing, and hours of time-outs on a virtual clock."""

import asyncio

import pytest

from gateway.model.faults import LinkLost, OutOfStep, Timeout
from gateway.testing.clock import virtual
from gateway.testing.link import KEPT, link_pair
from gateway.wire.dialogue import Dialogue
from gateway.wire.framing import delimited

LINES = delimited(b"\n", 100)


def test_question_and_answer():
    async def work():
        link, far = link_pair(lambda question: question.upper())
        assert await Dialogue(link, LINES, 1.0).ask(b"ping\n") == b"PING"
        assert not far.received

    virtual(work())


def test_one_who_looks_for_himself():
    async def work():
        link, far = link_pair()
        asked = asyncio.ensure_future(Dialogue(link, LINES, 60.0).ask(b"ping\n"))
        assert await far.take(5) == b"ping\n"
        far.send(b"po")
        await asyncio.sleep(50)
        far.send(b"ng\n")
        assert await asked == b"pong"

    virtual(work())


def test_a_day_of_silence_takes_no_time():
    async def work():
        link, _ = link_pair()
        began = asyncio.get_running_loop().time()
        with pytest.raises(Timeout):
            await link.exchange(b"?", Never(), 86_400)
        assert 86_400 <= asyncio.get_running_loop().time() - began < 86_401

    virtual(work())


def test_half_an_answer_is_told_from_none():
    async def work():
        for answers, code in (([b""], "no_answer"), ([b"po"], "answer_incomplete")):
            left = list(answers)
            link, _ = link_pair(lambda _question, left=left: left.pop(0) if left else b"")
            with pytest.raises(OutOfStep) as raised:
                await Dialogue(link, LINES, 5.0).ask(b"?\n")
            assert raised.value.code == code

    virtual(work())


def test_silence_between_requests_is_kept_on_the_same_clock():
    async def work():
        moments = []

        def answer(question):
            moments.append(asyncio.get_running_loop().time())
            return question

        link, _ = link_pair(answer, min_gap=30.0)
        dialogue = Dialogue(link, LINES, 100.0)
        await dialogue.ask(b"a\n")
        await dialogue.ask(b"b\n")
        assert moments[1] - moments[0] >= 30

    virtual(work())


def test_the_far_end_hangs_up():
    async def work():
        link, far = link_pair()
        asked = asyncio.ensure_future(link.exchange(b"?", Never(), 60))
        await far.take(1)
        far.close(ConnectionResetError("reset"))
        far.close()
        with pytest.raises(LinkLost, match="reset"):
            await asked
        far.send(b"too late")
        far.write(b"nobody hears this")
        await asyncio.sleep(0)
        assert (link.stray_bytes, far.received) == (0, b"")

    virtual(work())


def test_closing_from_here():
    async def work():
        link, far = link_pair()
        await link.close()
        assert far.closed
        with pytest.raises(LinkLost):
            await link.exchange(b"?", Never(), 60)

    virtual(work())


def test_a_link_that_is_held_reads_on_later():
    async def work():
        link, far = link_pair()
        link.hold(held=True)
        far.send(b"a")
        far.send(b"b")
        await asyncio.sleep(1)
        assert link.stray_bytes == 0
        link.hold(held=False)
        await asyncio.sleep(1)
        assert link.stray_bytes == 2

    virtual(work())


def test_what_nobody_takes_is_bounded():
    async def work():
        link, far = link_pair()
        for _ in range(3):
            link.post(bytes(KEPT))
        link.post(b"end")
        assert len(far.received) == KEPT
        assert far.received.endswith(b"end")

    virtual(work())


class Never:
    """A receiver that is never content."""

    answered = 0

    def feed(self, data):
        return False
