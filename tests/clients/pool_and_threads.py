"""A connection pool that many threads share, reconnecting, and selecting databases by URL."""

import threading

import redis
from common import PORT, connect, eventually

r = connect()
r.flushall()

shared = redis.Redis(connection_pool=redis.BlockingConnectionPool(port=PORT, max_connections=8, decode_responses=True))
failures = []


def work(number):
    try:
        for count in range(300):
            shared.incr("total")
            key = f"own:{number}"
            shared.set(key, count)
            assert shared.get(key) == str(count)
    except Exception as failure:
        failures.append(failure)


threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures[0]
assert r.get("total") == str(16 * 300)

# The client reconnects when the server has closed its connection.
client = connect(client_name="victim", retry_on_error=[redis.ConnectionError])
assert client.ping()
victim = next(entry for entry in r.client_list() if entry["name"] == "victim")
assert r.client_kill_filter(_id=victim["id"]) == 1
eventually("it is gone", lambda: all(entry["id"] != victim["id"] for entry in r.client_list()))
assert eventually("it reconnects", lambda: client.ping())

# Databases by URL.
second = redis.Redis.from_url(f"redis://127.0.0.1:{PORT}/2?decode_responses=True&protocol=3")
second.set("where", "two")
assert r.get("where") is None
assert second.get("where") == "two"

# The lock of redis-py consists of SET NX and a script. Without EVAL, only the first half can be tested.
assert r.set("lock", "me", nx=True, px=10_000) is True
assert r.set("lock", "you", nx=True, px=10_000) is None
