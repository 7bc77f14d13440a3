"""Publish and subscribe, with patterns, in both protocols, and with a listener in another thread."""

import threading

from common import both_protocols, connect, eventually


def next_message(pubsub):
    return eventually("a message arrives", lambda: pubsub.get_message(timeout=0.1))


def messages(r):
    with r.pubsub() as pubsub:
        pubsub.subscribe("news", "sport")
        pubsub.psubscribe("n*")
        kinds = [next_message(pubsub)["type"] for _ in range(3)]
        assert kinds == ["subscribe", "subscribe", "psubscribe"], kinds
        assert r.publish("news", "hello") == 2
        first, second = next_message(pubsub), next_message(pubsub)
        assert (first["type"], first["channel"], first["data"]) == ("message", "news", "hello")
        assert (second["type"], second["pattern"], second["data"]) == ("pmessage", "n*", "hello")
        assert set(r.pubsub_channels()) == {"news", "sport"}
        assert dict(r.pubsub_numsub("news", "silence")) == {"news": 1, "silence": 0}
        assert r.pubsub_numpat() == 1
        pubsub.unsubscribe("news")
        assert next_message(pubsub)["type"] == "unsubscribe"
        assert r.publish("silence", "x") == 0
    eventually("the closed subscriber is removed", lambda: r.pubsub_channels() == [])


def handlers(r):
    got = []
    pubsub = r.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(**{"events": lambda message: got.append(message["data"])})
    listener = pubsub.run_in_thread(sleep_time=0.001)
    eventually("the subscription is there", lambda: dict(r.pubsub_numsub("events"))["events"] == 1)

    def publish(number):
        own = connect()
        for count in range(200):
            own.publish("events", f"{number}:{count}")
        own.close()

    publishers = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    eventually("all messages arrive", lambda: len(got) == 800)
    listener.stop()
    listener.join()
    pubsub.close()
    # The messages of a publisher arrive in the order in which it sent them.
    for number in range(4):
        counts = [int(data.split(":")[1]) for data in got if data.startswith(f"{number}:")]
        assert counts == list(range(200))


def keyspace_events(r):
    r.config_set("notify-keyspace-events", "Ex")
    with r.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.psubscribe("__keyevent@0__:expired")
        pubsub.get_message(timeout=1)
        r.set("brief", 1, px=20)
        message = next_message(pubsub)
        assert message["data"] == "brief", message
    r.config_set("notify-keyspace-events", "")


both_protocols(messages)
both_protocols(handlers)
both_protocols(keyspace_events)
