"""Encrypted connections of redis-py, with and without a certificate of the client. The second argument is the folder with the certificates."""

import sys

import redis
from common import PORT

FOLDER = sys.argv[2]


def connect(**options):
    return redis.Redis(
        host="localhost",
        port=PORT,
        ssl=True,
        ssl_ca_certs=f"{FOLDER}/ca.crt",
        decode_responses=True,
        **options,
    )


def works(client):
    assert client.ping() is True
    value = "x" * 1_000_000
    assert client.set("long", value) is True
    assert client.get("long") == value
    with client.pipeline() as pipeline:
        for number in range(1000):
            pipeline.rpush("list", number)
        assert pipeline.execute() == list(range(1, 1001))
    with client.pubsub() as subscriber:
        subscriber.subscribe("news")
        assert subscriber.get_message(timeout=20)["type"] == "subscribe"
        assert client.publish("news", "hello") == 1
        assert subscriber.get_message(timeout=20)["data"] == "hello"
    client.flushall()


def fails(client):
    try:
        client.ping()
    except redis.ConnectionError:
        return
    raise AssertionError("it was served")


OWN = {"ssl_certfile": f"{FOLDER}/client.crt", "ssl_keyfile": f"{FOLDER}/client.key"}
with_certificate = connect(**OWN)
works(with_certificate)
works(connect(protocol=3, **OWN))
fails(connect())
with_certificate.config_set("tls-auth-clients", "optional")
works(connect())
with_certificate.config_set("tls-auth-clients", "no")
works(connect())
with redis.Redis(host="localhost", port=PORT) as plain:
    fails(plain)
