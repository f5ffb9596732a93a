#!/usr/bin/env bash
# Gives Tidegate's users exactly what they need, on a Kafka cluster with an authorizer.
#   acls.sh --bootstrap-server LIST --command-config FILE [--prefix P] [--group tidegate] [--gateway USER] [--consumer USER] [--reader USER]
#   gateway   writes the raw topics
#   consumer  reads the raw alarms in its group, writes enriched alarms and dead letters
#   reader    reads enriched alarms in any group whose name begins with its own
# Uses kafka-acls.sh where it is on PATH, else the jars of kafka.sh beside it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
server="" config="" prefix="" group=tidegate gateway=gateway consumer=consumer reader=reader
while [ $# -gt 0 ]; do
  case $1 in
  --bootstrap-server) server=$2 ;;
  --command-config) config=$2 ;;
  --prefix) prefix=$2 ;;
  --group) group=$2 ;;
  --gateway) gateway=$2 ;;
  --consumer) consumer=$2 ;;
  --reader) reader=$2 ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
  shift 2
done
if [ -z "$server" ] || [ -z "$config" ]; then echo "acls: --bootstrap-server and --command-config are needed" >&2; exit 2; fi

allow() { # allow USER ARG...
  local user=$1; shift
  set -- --bootstrap-server "$server" --command-config "$config" --add --allow-principal "User:$user" "$@"
  if command -v kafka-acls.sh >/dev/null; then kafka-acls.sh "$@"; else "$here/kafka.sh" tool org.apache.kafka.tools.AclCommand "$@"; fi
}
# DescribeConfigs is what `check` reads the topics' limits with.
allow "$gateway" --operation Write --operation Describe --operation DescribeConfigs --topic "${prefix}im.alarms.raw" --topic "${prefix}im.callbacks.raw"
allow "$consumer" --operation Read --operation Describe --operation DescribeConfigs --topic "${prefix}im.alarms.raw" --group "$group"
allow "$consumer" --operation Write --operation Describe --operation DescribeConfigs --topic "${prefix}im.alarms" --topic "${prefix}im.alarms.dlq"
allow "$reader" --operation Read --operation Describe --topic "${prefix}im.alarms"
allow "$reader" --operation Read --resource-pattern-type prefixed --group "$reader"
