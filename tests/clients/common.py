"""Functions that the scripts share: connecting to the server under test, and waiting for a condition."""

import sys
import time

import redis

PORT = int(sys.argv[1])


def connect(**options):
    options.setdefault("decode_responses", True)
    return redis.Redis(port=PORT, **options)


def eventually(what, condition, seconds=20):
    """Polls until the condition returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.002)
    raise AssertionError(f"waited {seconds} s in vain: {what}")


def raises(error, text, call):
    try:
        call()
    except error as found:
        assert text in str(found), f"{text!r} is not in {str(found)!r}"
    else:
        raise AssertionError(f"no {error.__name__} was raised")


def both_protocols(test):
    """Runs a test with RESP2 and with RESP3, on an empty server."""
    for protocol in (2, 3):
        client = connect(protocol=protocol)
        client.flushall()
        test(client)
        client.close()
