"""MULTI, EXEC and WATCH: pipelines, and optimistic locking with a retry loop in many threads."""

import threading

import redis
from common import both_protocols, connect, raises


def pipelines(r):
    with r.pipeline(transaction=True) as pipe:
        assert pipe.set("a", 1).incr("a").get("a").get("nobody").execute() == [True, 2, "2", None]
    with r.pipeline(transaction=False) as pipe:
        for number in range(5000):
            pipe.set(f"k{number}", number)
        assert all(pipe.execute())
    assert r.dbsize() == 5001
    with r.pipeline() as pipe:
        pipe.set("t", "text").incr("t").set("after", 1)
        replies = pipe.execute(raise_on_error=False)
    assert replies[0] is True and isinstance(replies[1], redis.ResponseError) and replies[2] is True


def watch(r):
    r.set("k", 1)
    with r.pipeline() as pipe:
        pipe.watch("k")
        r.set("k", 2)
        pipe.multi()
        pipe.set("k", 3)
        raises(redis.WatchError, "", pipe.execute)
    assert r.get("k") == "2"
    assert r.transaction(lambda pipe: (pipe.multi(), pipe.incr("k")), "k") == [3]


def transfers(r):
    """Threads move money between accounts. The total stays the same, and no reader sees half of a transfer."""
    accounts = [f"account:{number}" for number in range(4)]
    for account in accounts:
        r.set(account, 1000)
    stop = threading.Event()
    wrong = []

    def audit():
        own = connect()
        while not stop.is_set():
            with own.pipeline() as pipe:
                total = sum(int(balance) for balance in pipe.mget(accounts).execute()[0])
            if total != 4000:
                wrong.append(total)
        own.close()

    def transfer(source, target, times):
        own = connect()
        for _ in range(times):
            while True:
                with own.pipeline() as pipe:
                    try:
                        pipe.watch(source, target)
                        have = int(pipe.get(source))
                        pipe.multi()
                        pipe.set(source, have - 1)
                        pipe.incrby(target, 1)
                        pipe.execute()
                        break
                    except redis.WatchError:
                        continue
        own.close()

    auditor = threading.Thread(target=audit)
    auditor.start()
    workers = [
        threading.Thread(target=transfer, args=(accounts[number % 4], accounts[(number + 1) % 4], 100))
        for number in range(6)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()
    auditor.join()
    assert not wrong, f"a reader saw {wrong[0]}"
    # Six workers in a ring of four: 0→1, 1→2, 2→3, 3→0, 0→1, 1→2, a hundred each.
    assert [int(r.get(account)) for account in accounts] == [900, 1000, 1100, 1000]


both_protocols(pipelines)
both_protocols(watch)
both_protocols(transfers)
