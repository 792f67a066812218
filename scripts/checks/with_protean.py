#!/usr/bin/env python3
"""Holds the wire formats against Protean: what either side publishes, the other reads and acks, within one group.

Run by the Python that has `protean[redis]`, with the path of the `broker` program. A private Redis server is started.
"""

import contextlib
import logging
import socket
import subprocess
import tempfile
import time

import redis
from protean.adapters.broker.redis import RedisBroker
from protean.adapters.broker.redis_pubsub import RedisPubSubBroker
from protean.domain import Domain

from broker_program import Ours

COUNT = 20


@contextlib.contextmanager
def server():
    """A private Redis server; its port."""
    with socket.socket() as free, tempfile.TemporaryDirectory(prefix="broker-protean-") as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 30
            while True:
                try:
                    redis.Redis(port=port).ping()
                    break
                except redis.ConnectionError:
                    assert process.poll() is None and time.monotonic() < until, "redis-server did not come up"
                    time.sleep(0.01)
            yield port
        finally:
            process.kill()
            process.wait()


def program(port, scheme, **settings):
    return Ours(f"{scheme}://127.0.0.1:{port}/0", **settings)


class Theirs:
    """A broker of Protean."""

    def __init__(self, broker, acks):
        self.broker, self.acks = broker, acks

    def publish(self, stream, messages):
        for message in messages:
            assert self.broker.publish(stream, message)

    def payloads(self, stream, group, count):
        """Reads, and acks where the broker can; the messages."""
        read = self.broker.read(stream, group, count)
        for identifier, _ in read if self.acks else []:
            assert self.broker.ack(stream, identifier, group), f"{identifier} is not acked"
        return [message for _, message in read]


def messages(first, count=COUNT):
    return [{"id": number, "name": f"Zoë {number}", "lines": [{"sku": "a", "count": 2.5}, None]} for number in range(first, first + count)]


def in_turns(ours, theirs, stream, group):
    """Both sides publish and both read as one group, in turns: each message goes to one of them, none is missing."""
    sent = []
    for turn in range(6):
        batch = messages(turn * COUNT)
        sent += batch
        (ours if turn % 2 else theirs).publish(stream, batch)
    got = {"ours": [], "theirs": []}
    while True:
        by_ours = ours.payloads(stream, group, 7, wait="0s")
        by_theirs = theirs.payloads(stream, group, 5)
        if not by_ours and not by_theirs:
            break
        got["ours"] += by_ours
        got["theirs"] += by_theirs
    assert got["ours"] and got["theirs"], got
    both = sorted(got["ours"] + got["theirs"], key=lambda message: message["id"])
    assert both == sent, f"{len(both)} of {len(sent)} came"


def streams(port, domain, raw):
    ours = program(port, "redis")
    strict = program(port, "redis", format="protean")
    theirs = Theirs(RedisBroker("default", domain, {"URI": f"redis://127.0.0.1:{port}/0"}), acks=True)

    theirs.publish("theirs", messages(0))
    for reader, group in [(ours, "native"), (strict, "protean")]:
        assert reader.payloads("theirs", group, 100) == messages(0)
        assert raw.xpending("theirs", group)["pending"] == 0, "what was read is acked"

    for stream, publisher, more in [
        ("ours", ours, []),
        ("ours-strict", strict, []),
        # What Protean has no name for lies beside the payload, and is passed over.
        ("ours-rich", ours, ["--key", "k", "--header", "trace=1", "--content-type", "application/json"]),
    ]:
        publisher.publish(stream, messages(0), *more)
        assert theirs.payloads(stream, "group", 100) == messages(0), stream
        assert raw.xpending(stream, "group")["pending"] == 0, "what was read is acked"
    assert raw.xrange("ours")[0][1].keys() == {b"data"}, "plain JSON is one field without any setting"

    for stream, side in [("shared", ours), ("shared-strict", strict)]:
        in_turns(side, theirs, stream, "group")
        assert raw.xpending(stream, "group")["pending"] == 0
        assert raw.xinfo_groups(stream)[0]["lag"] == 0

    # What Protean had in hand and never acked comes to us when its lease has ended.
    theirs.publish("left", messages(0, 3))
    assert len(theirs.broker.read("left", "group", 2)) == 2
    patient = program(port, "redis", message_timeout="500ms")
    got = []
    until = time.monotonic() + 30
    while len(got) < 3 and time.monotonic() < until:
        got += patient.payloads("left", "group", 3, wait="1s")
    assert sorted(message["id"] for message in got) == [0, 1, 2], got


def lists(port, domain, raw):
    ours = program(port, "redis+pubsub")
    strict = program(port, "redis+pubsub", format="protean")
    theirs = Theirs(RedisPubSubBroker("default", domain, {"URI": f"redis://127.0.0.1:{port}/0"}), acks=False)

    theirs.publish("list:theirs", messages(0))
    assert ours.payloads("list:theirs", "native", 100) == messages(0)
    assert strict.payloads("list:theirs", "protean", 100) == messages(0)

    for stream, publisher, more in [
        ("list:ours", ours, []),
        ("list:ours-typed", ours, ["--content-type", "application/json"]),
        ("list:ours-strict", strict, []),
    ]:
        publisher.publish(stream, messages(0), *more)
        assert theirs.payloads(stream, "group", 100) == messages(0), stream

    in_turns(strict, theirs, "list:shared", "group")
    assert int(raw.get("position:list:shared:group")) == raw.llen("list:shared"), "one position for both"


def main():
    # Protean says at each ack of a list that it has none.
    logging.disable(logging.WARNING)
    with server() as port:
        domain, raw = Domain(name="interoperation", config={}), redis.Redis(port=port)
        streams(port, domain, raw)
        lists(port, domain, raw)
    print("Protean and both Redis providers read and ack each other's messages, also within one group")


main()
