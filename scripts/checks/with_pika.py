#!/usr/bin/env python3
"""Holds the provider `rabbitmq` against another client, pika: what either side publishes the other reads and acks, with
headers and properties, within one group, and on exchanges and queues that the other side made.

Run by the Python that has `pika`, with the path of the `broker` program. A private RabbitMQ server is started.
"""

import json
import time

import pika

from broker_program import Ours
from rabbitmq_server import rabbitmq_server

COUNT = 20


def program(port, **settings):
    return Ours(f"amqp://guest:guest@127.0.0.1:{port}/%2F", **settings)


class Theirs:
    """A client as pika's users write it, with confirms."""

    def __init__(self, port):
        self.port = port
        self.connect()

    def connect(self):
        self.connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def publish(self, exchange, routing_key, messages, properties=None):
        for message in messages:
            # Raises where the message is returned or refused.
            self.channel.basic_publish(exchange, routing_key, json.dumps(message), properties, mandatory=True)

    def get(self, queue, count, wait=5):
        """Takes up to so many messages that are there, waiting for the first; with delivery and properties."""
        taken, until = [], time.monotonic() + wait
        while len(taken) < count:
            method, properties, body = self.channel.basic_get(queue)
            if method:
                taken.append((method, properties, body))
            elif taken or time.monotonic() > until:
                break
            else:
                time.sleep(0.01)
        return taken

    def read(self, queue, count, wait=5):
        """The same, and acks; the messages."""
        taken = self.get(queue, count, wait)
        for method, _, _ in taken:
            self.channel.basic_ack(method.delivery_tag)
        return [json.loads(body) for _, _, body in taken]

    def waiting(self, queue):
        return self.channel.queue_declare(queue, passive=True).method.message_count


def messages(first, count=COUNT):
    return [{"id": number, "name": f"Zoë {number}", "lines": [{"sku": "a", "count": 2.5}, None]} for number in range(first, first + count)]


def theirs_to_ours(ours, theirs):
    """What pika sets, we show: properties that have a place of their own there, all others as headers."""
    assert ours.read("theirs", "group", 1, wait="0s") == [], "the group is made by its first read"
    properties = pika.BasicProperties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={"trace": "1", "tries": 7, "urgent": True, "nested": {"a": [1, "b"]}, "raw": b"\xff\x00"},
        delivery_mode=2,
        priority=3,
        correlation_id="call-1",
        reply_to="answers",
        message_id="order-7",
        timestamp=1_700_000_000,
        type="order.placed",
        app_id="shop",
    )
    theirs.publish("theirs", "theirs", messages(0, 1), properties)
    [delivery] = ours.read("theirs", "group", 10)
    assert json.loads(delivery["payload"]) == messages(0, 1)[0]
    assert delivery["attempt"] == 1 and delivery["stored_at"].startswith("2023-11-14T22:13:20"), delivery
    assert (delivery["content_type"], delivery["kind"]) == ("application/json", "order.placed"), delivery
    assert delivery["message_id"] == "order-7", delivery
    headers = delivery["headers"]
    assert (headers["trace"], headers["tries"], headers["urgent"]) == ("1", "7", "true"), headers
    assert "raw_base64" in headers and "nested" in headers, headers
    assert {name: headers[f"amqp-{name}"] for name in ("correlation-id", "reply-to", "priority", "app-id")} == {
        "correlation-id": "call-1",
        "reply-to": "answers",
        "priority": "3",
        "app-id": "shop",
    }, headers

    # Without any property, and not even text.
    theirs.channel.basic_publish("theirs", "theirs", b"\xff\xfe", mandatory=True)
    [bare] = ours.read("theirs", "group", 10)
    assert bare["payload_base64"] == "//4=" and bare["headers"] == {} and bare["attempt"] == 1, bare
    assert theirs.waiting("theirs/group") == 0, "what was read is acked"


def ours_to_theirs(ours, theirs):
    """What we set, pika shows."""
    assert ours.read("ours", "group", 1, wait="0s") == []
    more = ["--key", "customer-3", "--header", "trace=1", "--header", "amqp-correlation-id=call-2", "--kind", "order.placed"]
    ours.run("publish", "ours", "--data", "Zoë", "--id", "order-8", "--content-type", "text/plain", *more)
    [(method, properties, body)] = theirs.get("ours/group", 10)
    theirs.channel.basic_ack(method.delivery_tag)
    assert body.decode() == "Zoë" and not method.redelivered
    assert properties.delivery_mode == 2, "it is on disk"
    assert (properties.content_type, properties.type) == ("text/plain", "order.placed"), properties
    assert properties.correlation_id == "call-2", properties
    # A table's texts are shown as text where they are UTF-8.
    assert properties.headers["trace"] == "1" and properties.headers["broker-key"] == "customer-3", properties
    assert "order-8" in (properties.message_id, properties.headers.get("broker-message-id")), properties


def in_turns(ours, theirs, stream, group, queue, exchange, routing_key):
    """Both sides publish and both read as one group, in turns: each message goes to one of them, none is missing."""
    sent = []
    for turn in range(6):
        batch = messages(turn * COUNT)
        sent += batch
        if turn % 2:
            ours.publish(stream, batch)
        else:
            theirs.publish(exchange, routing_key, batch)
    got = {"ours": [], "theirs": []}
    while True:
        by_ours = ours.payloads(stream, group, 7, wait="0s")
        by_theirs = theirs.read(queue, 5, wait=0)
        if not by_ours and not by_theirs:
            break
        got["ours"] += by_ours
        got["theirs"] += by_theirs
    assert got["ours"] and got["theirs"], got
    both = sorted(got["ours"] + got["theirs"], key=lambda message: message["id"])
    assert both == sent, f"{len(both)} of {len(sent)} came"
    assert theirs.waiting(queue) == 0


def left_in_hand(ours, theirs):
    """What one side had in hand and never acked comes to the other, told as delivered before."""
    ours.read("left", "group", 1, wait="0s")
    theirs.publish("left", "left", messages(0, 3))
    assert len(theirs.get("left/group", 2)) == 2
    theirs.connection.close()
    theirs.connect()
    until, got = time.monotonic() + 30, []
    while len(got) < 3 and time.monotonic() < until:
        got += ours.read("left", "group", 3)
    attempts = {json.loads(delivery["payload"])["id"]: delivery["attempt"] for delivery in got}
    assert attempts == {0: 2, 1: 2, 2: 1}, attempts

    theirs.publish("left", "left", messages(3, 1))
    assert len(ours.read("left", "group", 1, "--no-ack")) == 1
    [(method, _, body)] = theirs.get("left/group", 10)
    theirs.channel.basic_ack(method.delivery_tag)
    assert json.loads(body)["id"] == 3


def work_queue(port, theirs):
    """A plain queue that pika made, used as it is."""
    ours = program(port, declare="false", exchange="", queue="{stream}", queue_type="classic")
    theirs.channel.queue_declare("tasks", durable=True)
    theirs.publish("", "tasks", messages(0))
    assert ours.payloads("tasks", "workers", 100) == messages(0)
    ours.publish("tasks", messages(COUNT))
    assert theirs.read("tasks", 100) == messages(COUNT)
    in_turns(ours, theirs, "tasks", "workers", "tasks", "", "tasks")


def existing_exchanges(port, theirs):
    """Exchanges of every type and their queues that pika made: our messages go where theirs would."""
    ours = program(port, declare="false", queue="{group}", routing_key="{key}", queue_type="classic")
    for kind, binding, arguments, more in [
        ("direct", "blue", None, ["--key", "blue"]),
        ("topic", "order.*.paid", None, ["--key", "order.7.paid"]),
        ("fanout", "", None, []),
        ("headers", "", {"x-match": "all", "colour": "blue"}, ["--header", "colour=blue"]),
    ]:
        exchange, queue = f"made-{kind}", f"made-{kind}-queue"
        theirs.channel.exchange_declare(exchange, kind, durable=True)
        theirs.channel.queue_declare(queue, durable=True)
        theirs.channel.queue_bind(queue, exchange, binding, arguments)
        ours.publish(exchange, messages(0, 3), *more)
        assert theirs.read(queue, 10) == messages(0, 3), kind
        headers = pika.BasicProperties(headers={"colour": "blue"})
        theirs.publish(exchange, binding.replace("*", "8"), messages(3, 3), headers)
        assert ours.payloads(exchange, queue, 10) == messages(3, 3), kind


def main():
    with rabbitmq_server() as port:
        ours, theirs = program(port), Theirs(port)
        theirs_to_ours(ours, theirs)
        ours_to_theirs(ours, theirs)
        assert ours.read("shared", "group", 1, wait="0s") == []
        in_turns(ours, theirs, "shared", "group", "shared/group", "shared", "shared")
        left_in_hand(ours, theirs)
        work_queue(port, theirs)
        existing_exchanges(port, theirs)
        theirs.connection.close()
    print("pika and the provider rabbitmq read and ack each other's messages, also within one group and on what pika made")


main()
