"""Queues as applications build them: many workers that wait for jobs, some of which are killed at work. No job is lost, and none
is done twice. The second argument names the kind of queue."""

import multiprocessing
import os
import random
import signal
import sys
import time

import redis
from common import connect, eventually

JOBS = 10_000
WORKERS = 20
# So many workers are killed, one after the other, and others take their places.
KILLED = 8

fork = multiprocessing.get_context("fork")


def finish(pipe, job):
    """Adds to a transaction that a job is done: by whom first, and how often. The caller sees whether it was the first."""
    pipe.hsetnx("done", job, os.getpid())
    pipe.hincrby("runs", job, 1)


class Workers:
    """Processes that work until they are killed."""

    def __init__(self, work):
        self.work = work
        self.count = 0
        self.alive = []
        self.dead = []
        for _ in range(WORKERS):
            self.start()

    def start(self):
        name = f"worker:{self.count}"
        self.count += 1
        process = fork.Process(target=self.work, args=(name,), daemon=True)
        process.start()
        self.alive.append((name, process))

    def kill_one(self):
        name, process = self.alive.pop(random.randrange(len(self.alive)))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        self.dead.append(name)
        self.start()

    def end(self):
        for _, process in self.alive:
            process.kill()
        for _, process in self.alive:
            process.join()


def drive(client, workers, add, recover):
    """Adds all jobs while workers are killed, and waits until all are done."""
    kills = sorted(random.sample(range(JOBS // 100), KILLED))
    for part in range(JOBS // 100):
        add([f"job:{number}" for number in range(part * 100, part * 100 + 100)])
        if part in kills:
            # Some are busy by now.
            time.sleep(random.random() * 0.02)
            workers.kill_one()

    def all_done():
        recover(workers.dead)
        return client.hlen("done") == JOBS

    eventually("all jobs are done", all_done, seconds=120)
    workers.end()
    runs = client.hgetall("runs")
    assert len(runs) == JOBS and set(runs.values()) == {"1"}, [job for job, times in runs.items() if times != "1"][:10]
    assert set(runs) == {f"job:{number}" for number in range(JOBS)}


def lists():
    """A worker moves a job to a list of its own while it works on it; what a killed worker leaves there goes back to the queue."""

    def work(name):
        client = connect()
        while True:
            job = client.blmove("jobs", f"processing:{name}", 1, "LEFT", "RIGHT")
            if job is None:
                continue
            with client.pipeline(transaction=True) as pipe:
                finish(pipe, job)
                pipe.lrem(f"processing:{name}", 1, job)
                _, _, removed = pipe.execute()
            assert removed == 1, job

    client = connect()

    def recover(dead):
        for name in dead:
            while client.lmove(f"processing:{name}", "jobs", "LEFT", "RIGHT"):
                pass

    workers = Workers(work)
    drive(client, workers, lambda jobs: client.rpush("jobs", *jobs), recover)
    eventually("no list is left", lambda: client.keys("processing:*") == [] and not client.exists("jobs"))


def sorted_sets():
    """A worker that takes the most urgent job says so in the same breath as it begins: a job that nobody has done and nobody works on
    goes back to the queue. What is taken comes in order."""
    client = connect()
    client.zadd("jobs", {f"urgent:{number}": number for number in range(1000)})

    def work(name):
        client, last = connect(), -1
        while True:
            taken = client.bzpopmin("jobs", 1)
            if taken is None:
                continue
            _, job, score = taken
            if job.startswith("urgent:"):
                assert score > last, (score, last)
                last = score
                client.incr("urgent")
                continue
            # Who sets it works on the job; a job that was put back while its worker still lived is done once all the same.
            if client.set(f"claim:{job}", name, nx=True):
                with client.pipeline(transaction=True) as pipe:
                    finish(pipe, job)
                    pipe.srem("pending", job)
                    pipe.execute()

    workers = Workers(work)
    eventually("all urgent jobs are taken in order", lambda: client.get("urgent") == "1000")

    def add(jobs):
        with client.pipeline(transaction=True) as pipe:
            pipe.sadd("pending", *jobs)
            pipe.zadd("jobs", {job: random.randrange(1000) for job in jobs})
            pipe.execute()

    def recover(dead):
        if client.zcard("jobs") > 0:
            return
        time.sleep(0.2)
        for job in client.smembers("pending"):
            holder = client.get(f"claim:{job}")
            if holder in dead:
                client.delete(f"claim:{job}")
            if holder is None or holder in dead:
                client.zadd("jobs", {job: 0}, nx=True)

    drive(client, workers, add, recover)
    assert client.scard("pending") == 0


def streams():
    """A consumer group remembers who was given what; what a killed consumer has not acknowledged others claim after a while."""
    client = connect()
    client.xgroup_create("jobs", "workers", id="0", mkstream=True)

    def work(name):
        client, last_claim = connect(), time.monotonic()
        while True:
            given = client.xreadgroup("workers", name, {"jobs": ">"}, count=10, block=200)
            entries = given[0][1] if given else []
            if time.monotonic() - last_claim > 0.3:
                last_claim = time.monotonic()
                _, claimed, deleted = client.xautoclaim("jobs", "workers", name, min_idle_time=2000, start_id="0-0", count=50)
                assert deleted == [], deleted
                entries += claimed
            for entry, fields in entries:
                with client.pipeline(transaction=True) as pipe:
                    # An entry that waited for long behind others may have been claimed: who acknowledges it has done it.
                    pipe.watch("claims:" + entry)
                    if pipe.get("claims:" + entry):
                        continue
                    pipe.multi()
                    pipe.set("claims:" + entry, name, ex=1000)
                    finish(pipe, fields["job"])
                    pipe.xack("jobs", "workers", entry)
                    try:
                        pipe.execute()
                    except redis.WatchError:
                        continue

    workers = Workers(work)

    def add(jobs):
        with client.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.xadd("jobs", {"job": job})
            pipe.execute()

    drive(client, workers, add, lambda dead: None)
    eventually("nothing is pending", lambda: client.xpending("jobs", "workers")["pending"] == 0)
    assert client.xlen("jobs") == JOBS
    [group] = client.xinfo_groups("jobs")
    assert group["lag"] == 0, group


connect().flushall()
{"lists": lists, "sorted_sets": sorted_sets, "streams": streams}[sys.argv[2]]()
