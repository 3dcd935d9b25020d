"""paho-mqtt against two brokers that are one: listens on A, publishes on B. Arguments: HOST:PORT HOST:PORT."""

import os
import queue
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

A, B = [(at.rsplit(":", 1)[0], int(at.rsplit(":", 1)[1])) for at in sys.argv[1:3]]
RUN = f"py{os.getpid()}"
LIMIT = 10


def make(client_id, level, clean):
    arguments = dict(client_id=client_id, protocol=level)
    if level != mqtt.MQTTv5:
        arguments["clean_session"] = clean
    if hasattr(mqtt, "CallbackAPIVersion"):  # paho-mqtt 2
        return mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, **arguments)
    return mqtt.Client(**arguments)


class Client:
    """One connection, with what it heard in queues."""

    def __init__(self, name, level, at, clean=True, will=None):
        self.level = level
        self.messages, self.acks, self.connacks = queue.Queue(), queue.Queue(), queue.Queue()
        self.c = make(f"{RUN}-{name}", level, clean)
        self.c.on_message = lambda c, u, m: self.messages.put(m)
        self.c.on_connect = lambda c, u, flags, rc, *more: self.connacks.put((int(getattr(rc, "value", rc)), flags))
        self.c.on_subscribe = lambda c, u, mid, granted, *more: self.acks.put((mid, granted))
        if will:
            self.c.will_set(will, "gone", qos=1)
        options = {}
        if level == mqtt.MQTTv5:
            options["clean_start"] = clean
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0 if clean else 600
            options["properties"] = properties
        self.c.connect(at[0], at[1], keepalive=30, **options)
        self.c.loop_start()
        code, flags = self.connacks.get(timeout=LIMIT)
        assert code == 0, code
        self.present = bool(flags["session present"])

    def subscribe(self, topic, qos):
        self.c.subscribe(topic, qos)
        granted = self.acks.get(timeout=LIMIT)[1][0]
        assert getattr(granted, "value", granted) == qos, granted

    def publish(self, topic, payload, qos, retain=False, properties=None):
        self.c.publish(topic, payload, qos, retain, **({"properties": properties} if properties else {})).wait_for_publish()

    def message(self, limit=LIMIT):
        return self.messages.get(timeout=limit)

    def close(self):
        self.c.disconnect()
        self.c.loop_stop()

    def crash(self):
        self.c.loop_stop()
        self.c._sock_close()


def ready(listener, publisher, topic):
    """A subscription is seen on the other node some milliseconds after its SUBACK."""
    for _ in range(200):
        publisher.publish(topic, "ready", 0)
        try:
            assert listener.message(0.05).payload == b"ready"
            break
        except queue.Empty:
            pass
    else:
        raise AssertionError(f"{topic} is never routed")
    publisher.publish(topic, "is ready", 1)
    while listener.message().payload != b"is ready":
        pass


for name, level in [("3.1", mqtt.MQTTv31), ("3.1.1", mqtt.MQTTv311), ("5.0", mqtt.MQTTv5)]:
    topic = f"{RUN}/{level}"
    listener, publisher = Client("listener", level, A), Client("publisher", level, B)
    listener.subscribe(topic + "/#", 2)
    ready(listener, publisher, topic + "/ready")

    for qos in range(3):
        for i in range(5):
            publisher.publish(topic + "/m", f"{qos}-{i}", qos)
        for i in range(5):
            m = listener.message()
            assert (m.topic, m.payload.decode(), m.qos, m.retain) == (topic + "/m", f"{qos}-{i}", qos, False), m.payload
    print(f"{name}: QoS 0, 1, 2")

    publisher.publish(topic + "/r", "kept", 1, retain=True)
    assert listener.message().payload == b"kept"
    late = Client("late", level, A)
    late.subscribe(topic + "/r", 1)
    m = late.message()
    assert (m.payload, m.retain) == (b"kept", True)
    late.close()
    publisher.publish(topic + "/r", "", 1, retain=True)
    listener.message()
    print(f"{name}: retained")

    kept = Client("kept", level, A, clean=False)
    kept.subscribe(topic + "-q", 1)
    ready(kept, publisher, topic + "-q")
    kept.close()
    for i in range(5):
        publisher.publish(topic + "-q", str(i), 1)
    # It comes back on the other broker.
    kept = Client("kept", level, B, clean=False)
    assert kept.present or level == mqtt.MQTTv31
    for i in range(5):
        m = kept.message()
        while m.payload == b"is ready":  # its PUBACK may not have been through before the end
            m = kept.message()
        assert m.payload.decode() == str(i), m.payload
    kept.close()
    Client("kept", level, B).close()
    print(f"{name}: persistent session")

    Client("dying", level, B, will=topic + "/will").crash()
    m = listener.message()
    assert (m.topic, m.payload) == (topic + "/will", b"gone"), m.topic
    print(f"{name}: will")
    listener.close()
    publisher.close()

# Request and response.
asker, server = Client("asker", mqtt.MQTTv5, A), Client("server", mqtt.MQTTv5, B)
asker.subscribe(f"{RUN}/answer", 1)
server.subscribe(f"{RUN}/ask", 1)
ready(asker, server, f"{RUN}/answer")
ready(server, asker, f"{RUN}/ask")
question = Properties(PacketTypes.PUBLISH)
question.ResponseTopic, question.CorrelationData = f"{RUN}/answer", b"\x00c1"
question.UserProperty = [("k", "v1"), ("k", "v2")]
question.ContentType = "text/plain"
asker.publish(f"{RUN}/ask", "question", 1, properties=question)
m = server.message()
assert m.properties.UserProperty == [("k", "v1"), ("k", "v2")] and m.properties.ContentType == "text/plain"
answer = Properties(PacketTypes.PUBLISH)
answer.CorrelationData = m.properties.CorrelationData
server.publish(m.properties.ResponseTopic, "answer", 1, properties=answer)
m = asker.message()
assert (m.payload, m.properties.CorrelationData) == (b"answer", b"\x00c1")
asker.close()
server.close()
print("5.0: request and response")
