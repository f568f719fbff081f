"""A disk that is full for a moment only: then nothing has to be given up."""

import asyncio

SIZE = 20_000


def limit_pages(bus, pages):
    """What SQLite then does is what it does on a full disk."""
    bus._store.most_pages = pages
    bus._store.connection.execute(f"PRAGMA max_page_count = {pages}")


def test_nothing_is_given_up_when_there_is_space_again(journal):
    async def main():
        async with journal.open(linger="5ms", batch_bytes=SIZE) as bus:
            consumer = bus.consumer("lane")
            limit_pages(bus, 60)
            for number in range(40):
                bus.publish(journal.frame(number, SIZE), 1)
            await asyncio.sleep(0.05)
            bus._store.most_pages = 10_000
            async with asyncio.timeout(20):
                delivered = [time for _ in range(40) for time in journal.times((await journal.take(consumer, 1))[0])]
            assert delivered == list(range(40))
            assert bus.statistics.dropped_batches == 0

    asyncio.run(main())
