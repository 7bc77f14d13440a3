"""The asyncio client of redis-py: many coroutines share few connections."""

import asyncio

import redis.asyncio
from common import PORT


async def main():
    for protocol in (2, 3):
        pool = redis.asyncio.BlockingConnectionPool(
            host="127.0.0.1", port=PORT, max_connections=10, decode_responses=True, protocol=protocol
        )
        r = redis.asyncio.Redis(connection_pool=pool)
        await r.flushall()
        assert sorted(await asyncio.gather(*(r.incr("n") for _ in range(500)))) == list(range(1, 501))
        async with r.pipeline(transaction=True) as pipe:
            assert await pipe.set("a", 1).incrby("a", 5).get("a").execute() == [True, 6, "6"]
        await asyncio.gather(*(r.set(f"k:{number}", number) for number in range(300)))
        assert len([key async for key in r.scan_iter("k:*", count=23)]) == 300

        async with r.pubsub() as pubsub:
            await pubsub.subscribe("news")
            assert (await pubsub.get_message(timeout=20))["type"] == "subscribe"
            await r.publish("news", "hello")
            assert (await pubsub.get_message(timeout=20))["data"] == "hello"
        await r.aclose()
        await pool.disconnect()


asyncio.run(main())
