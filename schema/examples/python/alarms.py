"""Prints the enriched alarms of a topic, from its beginning, a line each.

    python3 alarms.py BROKERS TOPIC GROUP [SETTINGS]

SETTINGS is a file of librdkafka's settings, NAME=VALUE a line, such as security.protocol=SASL_SSL.
Needs confluent-kafka (Debian: python3-confluent-kafka).
"""
import json
import sys

from confluent_kafka import Consumer

TYPE = b"com.tencent.im.group.quotaalarm.enriched.v1"


def line(alarm):
    """What is printed of an alarm. Fields that it does not name may be there, or come to be."""
    return "{alarm_id} {event_time} {sdk_app_id} {severity} {quota_used}/{quota} {used_percent:.2f}% {0} {1}".format(
        alarm["owner"] or "-", alarm["exhaustion_at"] or "-", **alarm)


def settings(path):
    with open(path, encoding="utf-8") as file:
        return dict(row.rstrip("\n").split("=", 1) for row in file if "=" in row and not row.startswith("#"))


def main(brokers, topic, group, file=None):
    consumer = Consumer({**(settings(file) if file else {}), "bootstrap.servers": brokers, "group.id": group,
                         "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([topic])
    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            print(message.error(), file=sys.stderr)
            continue
        if dict(message.headers() or []).get("ce_type") == TYPE:  # others are of a later release
            try:
                print(line(json.loads(message.value())), flush=True)  # it may come twice, with the same alarm_id
            except (ValueError, KeyError, TypeError) as error:
                print("partition %d offset %d: %r" % (message.partition(), message.offset(), error), file=sys.stderr)
        consumer.commit(message)  # only now: after a crash it comes again


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
