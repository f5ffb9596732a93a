#!/usr/bin/env bash
# Makes Tidegate's four topics on a Kafka cluster; one that exists is left as it is.
#   topics.sh --bootstrap-server LIST [--command-config FILE] [--prefix P] [--partitions 12] [--replication 3]
# Uses kafka-topics.sh where it is on PATH, else the jars of kafka.sh beside it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
server="" config=() prefix="" partitions=12 replication=3
while [ $# -gt 0 ]; do
  case $1 in
  --bootstrap-server) server=$2 ;;
  --command-config) config=(--command-config "$2") ;;
  --prefix) prefix=$2 ;;
  --partitions) partitions=$2 ;;
  --replication) replication=$2 ;;
  *) sed -n '2,4s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
  shift 2
done
[ -n "$server" ] || { echo "topics: --bootstrap-server is missing" >&2; exit 2; }
isr=1; if [ "$replication" -ge 3 ]; then isr=2; fi

topics() {
  if command -v kafka-topics.sh >/dev/null; then kafka-topics.sh "$@"; else "$here/kafka.sh" tool org.apache.kafka.tools.TopicCommand "$@"; fi
}
make_topic() { # make_topic NAME RETENTION_MS
  topics --bootstrap-server "$server" "${config[@]}" --create --if-not-exists --topic "$prefix$1" --partitions "$partitions" --replication-factor "$replication" \
    --config "min.insync.replicas=$isr" --config "retention.ms=$2" --config max.message.bytes=1048588
}
week=604800000 month=2592000000
make_topic im.alarms.raw $week
make_topic im.callbacks.raw $week
make_topic im.alarms $week
make_topic im.alarms.dlq $month
