"""A link: one exchange at a time, in time, and nothing left behind, on both event loops."""

import asyncio
import socket
import time
from contextlib import suppress
from itertools import pairwise

import pytest

from gateway.model.faults import LinkLost, ProtocolFault, Timeout
from gateway.wire.connect import open_tcp
from gateway.wire.link import StreamLink


async def echo(peer, data):
    peer.writer.write(data)


async def mute(_peer, _data):
    pass


def test_an_exchange(run, peer, wants):
    async def work():
        async with peer(echo) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            for size in (1, 100, 30_000):
                receiver = wants(size)
                await link.exchange(b"x" * size, receiver, 1.0)
                assert receiver.data == b"x" * size
            assert not link.lost
            assert link.name == f"127.0.0.1:{there.port}"

    run(work)


def test_a_tap_sees_every_byte(run, peer, wants):
    async def work():
        seen = []
        async with peer(echo) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            link.tap = lambda way, data: seen.append((way, data))
            await link.exchange(b"abc", wants(3), 1.0)
            await link.send(b"all", 0.0)
            await asyncio.sleep(0.05)
        assert seen == [(">", b"abc"), ("<", b"abc"), (">", b"all"), ("<", b"all")]

    run(work)


def test_no_answer_in_time(run, peer, wants):
    async def work():
        async with peer(mute) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            for _ in range(3):
                started = time.monotonic()
                with pytest.raises(Timeout, match=r"no answer within 0.05 s"):
                    await link.exchange(b"?", wants(1), 0.05)
                assert 0.045 <= time.monotonic() - started < 1
            there.answer = echo
            await link.exchange(b"!", wants(1), 1.0)

    run(work)


def test_a_slow_drip_does_not_stretch_the_time(run, peer, wants):
    async def drip(there, _data):
        for _ in range(20):
            there.writer.write(b".")
            await asyncio.sleep(0.02)

    async def work():
        async with peer(drip) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            started = time.monotonic()
            with pytest.raises(Timeout):
                await link.exchange(b"?", wants(20), 0.1)
            assert time.monotonic() - started < 0.35
            await asyncio.sleep(0.4)

    run(work)


def test_each_answer_gives_the_next_its_own_time(run, peer, wants):
    async def slowly(there, _data):
        for _ in range(5):
            await asyncio.sleep(0.06)
            there.writer.write(b"....")

    async def work():
        async with peer(slowly) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            receiver = wants(20, each=4)
            await link.exchange(b"?", receiver, 0.15)
            assert receiver.answered == 5
            with pytest.raises(Timeout):
                await link.exchange(b"?", wants(24, each=4), 0.15)

    run(work)


def test_bytes_that_came_while_the_loop_was_busy_are_not_late(run, peer, wants):
    async def work():
        async with peer(echo) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            asyncio.get_running_loop().call_later(0.001, time.sleep, 0.2)
            receiver = wants(1)
            await link.exchange(b"!", receiver, 0.05)
            assert receiver.data == b"!"

    run(work)


def test_strays_are_counted_and_dropped_or_given_to_whom_they_concern(run, peer, wants):
    async def work():
        async with peer(mute) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            with pytest.raises(Timeout):
                await link.exchange(b"?", wants(1), 0.02)
            there.writer.write(b"late")
            await asyncio.sleep(0.05)
            assert link.stray_bytes == 4
            link.stray = wants(100)
            there.writer.write(b"later")
            await asyncio.sleep(0.05)
            assert link.stray.data == b"later"
            assert link.stray_bytes == 9

    run(work)


class Broken:
    answered = 0

    def feed(self, data):
        raise ProtocolFault("not what it should be", data=data)


def test_a_receiver_that_cannot_read_it(run, peer, wants):
    async def work():
        async with peer(echo) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            with pytest.raises(ProtocolFault, match="not what") as raised:
                await link.exchange(b"junk", Broken(), 1.0)
            assert raised.value.data == b"junk"
            assert not link.lost
            link.stray = Broken()
            there.writer.write(b"junk again")
            await asyncio.sleep(0.05)
            assert link.lost
            with pytest.raises(ProtocolFault, match="not what"):
                await link.exchange(b"?", wants(1), 1.0)

    run(work)


def test_the_peer_hangs_up(run, peer, wants):
    async def hang_up(there, _data):
        there.writer.close()

    async def work():
        async with peer(hang_up) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            with pytest.raises(LinkLost, match="closed by the peer"):
                await link.exchange(b"?", wants(1), 1.0)
            assert link.lost
            for _ in range(2):
                with pytest.raises(LinkLost):
                    await link.exchange(b"?", wants(1), 1.0)
            with pytest.raises(LinkLost):
                await link.send(b"?", 0.0)

    run(work)


def test_the_connection_is_reset(run, peer, wants):
    async def reset(there, _data):
        there.writer.transport.abort()

    async def work():
        async with peer(reset) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            with pytest.raises(LinkLost):
                await link.exchange(b"?" * 10, wants(1), 1.0)

    run(work)


def test_closing_is_idempotent_and_ends_what_is_under_way(run, peer, wants):
    async def work():
        async with peer(mute) as there:
            async with open_tcp("127.0.0.1", there.port, 1.0) as link:
                asking = asyncio.create_task(link.exchange(b"?", wants(1), 5.0))
                await asyncio.sleep(0.02)
                await link.close()
                with pytest.raises(LinkLost, match="was closed"):
                    await asking
                await link.close()
            await link.close()
            never = StreamLink("nowhere")
            with pytest.raises(LinkLost, match="not connected"):
                await never.exchange(b"?", wants(1), 1.0)
            await never.close()

    run(work)


def test_two_at_a_time_are_a_bug(run, peer, wants):
    async def work():
        async with peer(mute) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            asking = asyncio.create_task(link.exchange(b"?", wants(1), 0.1))
            await asyncio.sleep(0.02)
            with pytest.raises(RuntimeError, match="two exchanges"):
                await link.exchange(b"?", wants(1), 0.1)
            with pytest.raises(Timeout):
                await asking

    run(work)


def test_a_cancelled_exchange_leaves_the_link_usable(run, peer, wants):
    async def work():
        async with peer(mute) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            asking = asyncio.create_task(link.exchange(b"?", wants(1), 5.0))
            await asyncio.sleep(0.02)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            there.answer = echo
            await link.exchange(b"!", wants(1), 1.0)

    run(work)


def test_a_fault_in_the_very_moment_of_cancelling_is_not_left_lying(run, peer, wants):
    async def work():
        left = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: left.append(context))
        async with peer(mute) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            asking = asyncio.create_task(link.exchange(b"?", wants(1), 5.0))
            await asyncio.sleep(0.02)
            link.abort(LinkLost("gone"))
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            del asking
        assert left == []

    run(work)


def test_silence_between_answer_and_next_request(run, peer, wants):
    async def work():
        async with peer(echo) as there, open_tcp("127.0.0.1", there.port, 1.0, min_gap=0.05) as link:
            arrivals = []

            async def note(there, data):
                arrivals.append(time.monotonic())
                there.writer.write(data)

            there.answer = note
            for _ in range(3):
                await link.exchange(b"?", wants(1), 1.0)
            assert all(late - early > 0.045 for early, late in pairwise(arrivals))

    run(work)


def test_silence_after_a_broadcast(run, peer, wants):
    async def work():
        async with peer(mute) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            started = time.monotonic()
            await link.send(b"all", 0.06)
            await link.send(b"all", 0.06)
            there.answer = echo
            await link.exchange(b"!", wants(1), 1.0)
            assert time.monotonic() - started > 0.11

    run(work)


def test_a_line_that_babbles_is_given_up(run, peer, wants):
    async def work():
        async with peer(mute) as there, open_tcp("127.0.0.1", there.port, 1.0, min_gap=0.05) as link:

            async def babble():
                while True:
                    there.writer.write(b"\x55")
                    await asyncio.sleep(0.01)

            await link.send(b"?", 0.0)
            await asyncio.sleep(0.02)
            noise = asyncio.create_task(babble())
            await asyncio.sleep(0.05)
            started = time.monotonic()
            with pytest.raises(ProtocolFault, match="fall silent"):
                await link.exchange(b"?", wants(1), 0.1)
            assert time.monotonic() - started < 1
            noise.cancel()
            await asyncio.wait([noise])

    run(work)


def test_a_peer_that_takes_no_bytes_is_given_up(run, peer, wants):
    async def work():
        async def stuck(_there, _data):
            await asyncio.sleep(60)

        async with peer(stuck) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            with pytest.raises(Timeout):
                await link.exchange(bytes(20_000_000), wants(1), 0.001)
            with pytest.raises(LinkLost, match="takes no more bytes"):
                await link.exchange(b"?", wants(1), 0.001)
            assert link.lost
            there.server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    run(work)


def test_a_peer_that_takes_bytes_again_is_heard(run, peer, wants):
    async def work():
        async with peer(echo) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            receiver = wants(3_000_000)
            await link.exchange(bytes(3_000_000), receiver, 5.0)
            await link.exchange(b"!", wants(1), 1.0)

    run(work)


def test_posts_and_beats_go_out_beside_an_exchange(run, peer, wants):
    async def work():
        async with peer(echo) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            receiver = wants(8)
            link.beat(b"beat", 0.02)
            asyncio.get_running_loop().call_later(0.01, link.post, b"post")
            await link.exchange(b"", receiver, 1.0)
            assert receiver.data == b"postbeat"
            link.beat(b"slow", 60.0)  # in place of the one before
            with pytest.raises(Timeout):
                await link.exchange(b"", wants(1), 0.1)
        with pytest.raises(LinkLost):
            link.post(b"late")
        link.beat(b"late", 0.0)
        await asyncio.sleep(0.02)

    run(work)


def test_a_peer_that_is_held_up(run, peer, wants):
    async def work():
        async with peer(echo) as there, open_tcp("127.0.0.1", there.port, 1.0) as link:
            for held in (True, True):
                link.hold(held=held)
            with pytest.raises(Timeout):
                await link.exchange(b"abc", wants(3), 0.1)
            link.hold(held=False)
            link.hold(held=False)
            await link.exchange(b"", wants(3), 1.0)
            link.hold(held=True)
            await link.close()
            link.hold(held=False)

    run(work)


def test_a_peer_that_takes_no_posts(run, wants):
    async def work():
        with socket.create_server(("127.0.0.1", 0)) as deaf:  # nobody ever reads there
            async with open_tcp("127.0.0.1", deaf.getsockname()[1], 1.0) as link:
                sent = 0
                while not link._withheld:
                    link.post(bytes(1 << 16))
                    sent += 1
                    await asyncio.sleep(0)
                    assert sent < 1000
                link.post(bytes(1 << 16))  # a burst may wait
                with pytest.raises(Timeout):
                    await link.exchange(b"", wants(1), 0.05)
                while not link.lost:
                    with suppress(LinkLost):
                        link.post(bytes(1 << 16))
                    sent += 1
                    assert sent < 1100
                with pytest.raises(LinkLost, match="takes no more bytes"):
                    link.post(b"x")

    run(work)
