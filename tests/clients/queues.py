"""Queues as applications build them: many workers wait for jobs, and some workers are killed while they work. No job is lost, and no
job is done twice. The second argument is the kind of queue."""

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
# The number of workers that are killed, one after the other. Each is replaced by a new worker.
KILLED = 8

fork = multiprocessing.get_context("fork")


def finish(pipe, job):
    """Adds commands to a transaction that record that a job is done: the worker that did it first, and how often it was done."""
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
            # Some workers are busy by now.
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
    """A worker moves a job to a list of its own while it works on it. The jobs in the list of a killed worker are moved back to the queue."""

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
    """A worker takes the most urgent job and claims it. A job that is not done and that no living worker has claimed is added to the queue
    again. Jobs are taken in the order of their scores."""
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
            # The worker that sets the claim does the job, so a job that was added again too early is still done once.
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
    """A consumer group records which consumer has which entry. Entries that a killed consumer has not acknowledged are claimed by others."""
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
                    # Another worker may have claimed the entry while it waited here. The first to set the key does the job.
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
