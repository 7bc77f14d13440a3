"""Strings, counters, expiry and commands on keys, as the cache of a web application uses them."""

import datetime

import redis
from common import both_protocols, connect, eventually, raises


def strings(r):
    assert r.ping() is True
    assert r.set("user:1", "Ada") is True
    assert r.get("user:1") == "Ada"
    assert r.get("user:2") is None
    assert r["user:1"] == "Ada"
    assert r.set("user:1", "Eve", nx=True) is None
    assert r.set("user:9", "Eve", xx=True) is None
    assert r.set("user:1", "Eve", get=True) == "Ada"
    assert r.append("user:1", "lyn") == 6
    assert r.strlen("user:1") == 6
    assert r.getrange("user:1", 0, 2) == "Eve"
    assert r.setrange("user:1", 3, "LYN") == 6
    assert r.getdel("user:1") == "EveLYN"
    assert r.exists("user:1") == 0
    assert r.mset({"a": 1, "b": "two", "c": 3.5}) is True
    assert r.mget("a", "b", "c", "d") == ["1", "two", "3.5", None]
    assert r.msetnx({"a": 1, "z": 1}) is False
    assert r.lcs("b", "b") == "two"


def counters(r):
    assert r.incr("visits") == 1
    assert r.incrby("visits", 41) == 42
    assert r.decr("visits", 2) == 40
    assert r.incrbyfloat("price", 10.5) == 10.5
    assert r.incrbyfloat("price", -0.25) == 10.25
    r.set("text", "x")
    raises(redis.ResponseError, "value is not an integer or out of range", lambda: r.incr("text"))


def binary(_):
    r = connect(decode_responses=False)
    value = bytes(range(256)) * 5000
    assert r.set(b"\x00\xff", value) is True
    assert r.get(b"\x00\xff") == value


def expiry(r):
    r.set("session", "x", ex=100)
    assert 98 <= r.ttl("session") <= 100
    assert 98_000 < r.pttl("session") <= 100_000
    assert r.persist("session") is True
    assert r.ttl("session") == -1
    assert r.ttl("nobody") == -2
    at = datetime.datetime.now() + datetime.timedelta(hours=1)
    assert r.expireat("session", at) is True
    assert abs(r.expiretime("session") - int(at.timestamp())) <= 1
    assert r.expire("session", 10, nx=True) is False
    assert r.expire("session", 10, lt=True) is True
    r.set("short", "x", px=30)
    eventually("the key expires", lambda: r.get("short") is None)
    assert r.getex("session", persist=True) == "x"
    assert r.ttl("session") == -1


def key_space(r):
    for number in range(1500):
        r.set(f"item:{number}", number)
    r.set("other", 1)
    assert r.dbsize() == 1501
    assert len(r.keys("item:*")) == 1500
    assert set(r.scan_iter("item:*", count=17)) == {f"item:{number}" for number in range(1500)}
    assert set(r.scan_iter(_type="string")) == set(r.keys())
    assert r.type("other") == "string" and r.type("nobody") == "none"
    assert r.rename("other", "renamed") is True
    raises(redis.ResponseError, "no such key", lambda: r.rename("other", "x"))
    assert r.copy("renamed", "copied") is True
    assert r.exists("renamed", "copied", "other") == 2
    assert r.touch("renamed", "other") == 1
    assert r.object("encoding", "renamed") == "int"
    assert r.delete("renamed", "copied", "other") == 2
    assert r.unlink("item:1", "item:2") == 2
    assert r.randomkey().startswith("item:")
    assert r.move("item:3", 1) is True
    other = connect(db=1)
    assert other.get("item:3") == "3"
    assert r.flushdb() is True
    assert r.dbsize() == 0 and other.dbsize() == 1
    assert r.flushall() is True
    assert other.dbsize() == 0


def server(r):
    info = r.info()
    assert "redis_version" in info and info["connected_clients"] >= 1
    assert r.config_set("maxmemory", "0") is True
    assert r.config_get("maxmemory") == {"maxmemory": "0"}
    assert r.client_setname("tester") is True
    assert r.client_getname() == "tester"
    assert any(client["name"] == "tester" for client in r.client_list())
    assert r.client_id() > 0
    assert r.echo("hello") == "hello"
    seconds, microseconds = r.time()
    assert seconds > 1_600_000_000 and 0 <= microseconds < 1_000_000
    assert r.command_count() > 50
    assert r.command_getkeys("MSET", "a", 1, "b", 2) == ["a", "b"]


for test in (strings, counters, binary, expiry, key_space, server):
    both_protocols(test)
