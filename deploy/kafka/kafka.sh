#!/usr/bin/env bash
# A real Apache Kafka (KRaft, broker and controller in one process) on this machine, one node or three, for tests and trials.
#   kafka.sh install                     download the jars once (needs Java 17 and Maven)
#   kafka.sh start [nodes] [first port]  format where new, start 1 (default) or 3 nodes on 127.0.0.1, wait, print the bootstrap list
#   kafka.sh kill N | restart N          kill -9 node N | start it again and wait until it is in sync
#   kafka.sh kill-all | restart-all      the same for every node
#   kafka.sh stop | wipe                 stop the nodes that this folder started | and delete their data
#   kafka.sh brokers                     print the bootstrap list
#   kafka.sh client USER [librdkafka]    print the path of USER's client properties, for Java or librdkafka (admin, gateway, consumer, reader)
#   kafka.sh tool CLASS ARG...           run one of Kafka's Java tools, as: tool org.apache.kafka.tools.TopicCommand --list --bootstrap-server ...
# KAFKA_HOME      where jars and data go (default .kafka in the current folder); jars may be shared by KAFKA_LIBS
# KAFKA_SECURITY  plaintext (default) or sasl_ssl (TLS, PLAIN and SCRAM, ACLs); read at the first start, kept with the data
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${KAFKA_HOME:-$PWD/.kafka}
libs=${KAFKA_LIBS:-$home/libs}
data=$home/data
heap=${KAFKA_HEAP:-"-Xms256m -Xmx512m"}
users=(admin gateway consumer reader)

say() { printf '%s\n' "$*" >&2; }
# shellcheck disable=SC2086 # replace holds no word at all, or exec
java_run() { ${replace:-} java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$libs/*" "$@"; }
nodes() { cat "$data/nodes"; }
security() { cat "$data/security"; }
port() { echo $(( $(cat "$data/first-port") + ($1 - 1) * 3 )); } # clients; +1 other brokers; +2 controllers
# alive says whether node $1 runs: a number that is left in its pid file may be somebody else's by now.
alive() { [ -e "$data/$1/pid" ] && ps -ww -o args= -p "$(cat "$data/$1/pid")" 2>/dev/null | grep -qF -- "$data/$1/server.properties"; }
brokers() { local i out=""; for i in $(seq "$(nodes)"); do out+="${out:+,}127.0.0.1:$(port "$i")"; done; echo "$out"; }

install() {
  [ -e "$libs/.done" ] && return
  command -v mvn >/dev/null || { say "kafka: Maven is missing (Debian: apt-get install openjdk-17-jre-headless maven)"; exit 1; }
  mkdir -p "$libs"
  mvn -q -B -Dstyle.color=never -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$libs" -DincludeScope=runtime >&2
  touch "$libs/.done"
}

# secrets makes an authority, one certificate for all nodes, and a password and client properties for each user.
secrets() {
  local dir=$data/secrets user
  mkdir -p "$dir"; chmod 700 "$dir"
  (
    umask 077; cd "$dir"
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=kafka-test-authority" -keyout ca.key -out ca.pem 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj "/CN=kafka-node" -keyout node.rsa -out node.csr 2>/dev/null
    openssl pkcs8 -topk8 -nocrypt -in node.rsa -out node.key
    printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n' > node.ext
    openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile node.ext -out node.crt 2>/dev/null
    cat node.key node.crt ca.pem > node.pem
    for user in "${users[@]}"; do
      openssl rand -hex 16 | tr -d '\n' > "$user.password"
      cat > "$user.properties" <<EOF
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="$user" password="$(cat "$user.password")";
ssl.truststore.type=PEM
ssl.truststore.location=$dir/ca.pem
EOF
      cat > "$user.librdkafka" <<EOF
# PLAIN, inside TLS: the librdkafka of Debian 12 is older than 2.6.1, whose SCRAM Kafka 4 refuses (librdkafka#4895).
security.protocol=SASL_SSL
sasl.mechanisms=PLAIN
sasl.username=$user
sasl.password=$(cat "$user.password")
ssl.ca.location=$dir/ca.pem
EOF
    done
  )
}

properties() { # properties N: the whole server.properties of node N
  local n=$1 p replication=1 isr=1 i user voters=""
  p=$(port "$n")
  if [ "$(nodes)" -ge 3 ]; then replication=3 isr=2; fi
  for i in $(seq "$(nodes)"); do voters+="${voters:+,}$i@127.0.0.1:$(( $(port "$i") + 2 ))"; done
  cat "$here/server.properties" "$here/$(security).properties"
  cat <<EOF
node.id=$n
controller.quorum.voters=$voters
listeners=CLIENT://127.0.0.1:$p,INTERNAL://127.0.0.1:$((p + 1)),CONTROLLER://127.0.0.1:$((p + 2))
advertised.listeners=CLIENT://127.0.0.1:$p,INTERNAL://127.0.0.1:$((p + 1))
log.dirs=$data/$n/log
default.replication.factor=$replication
min.insync.replicas=$isr
offsets.topic.replication.factor=$replication
transaction.state.log.replication.factor=$replication
transaction.state.log.min.isr=$isr
share.coordinator.state.topic.replication.factor=$replication
share.coordinator.state.topic.min.isr=$isr
EOF
  if [ "$(security)" = sasl_ssl ]; then
    printf 'ssl.keystore.location=%s\nssl.truststore.location=%s\n' "$data/secrets/node.pem" "$data/secrets/ca.pem"
    printf 'listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required'
    for user in "${users[@]}"; do printf ' user_%s="%s"' "$user" "$(cat "$data/secrets/$user.password")"; done
    printf ';\n'
  fi
}

start_node() {
  local n=$1 user scram=()
  mkdir -p "$data/$n"
  (umask 077; properties "$n" > "$data/$n/server.properties")
  if [ ! -e "$data/$n/log/meta.properties" ]; then
    if [ "$(security)" = sasl_ssl ]; then
      for user in "${users[@]}"; do
        scram+=(--add-scram "SCRAM-SHA-256=[name=$user,password=$(cat "$data/secrets/$user.password")]")
        scram+=(--add-scram "SCRAM-SHA-512=[name=$user,password=$(cat "$data/secrets/$user.password")]")
      done
    fi
    java_run kafka.tools.StorageTool format --cluster-id "$(cat "$data/cluster-id")" --config "$data/$n/server.properties" "${scram[@]}" > "$data/$n/format.out" 2>&1 \
      || { cat "$data/$n/format.out" >&2; exit 1; }
  fi
  # shellcheck disable=SC2086 # KAFKA_HEAP holds several words on purpose
  nohup setsid java $heap -XX:+UseG1GC -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$libs/*" kafka.Kafka "$data/$n/server.properties" \
    >> "$data/$n/server.out" 2>&1 < /dev/null &
  echo $! > "$data/$n/pid"
  until alive "$n" || ! kill -0 $! 2>/dev/null; do sleep 0.05; done # it is Java by now, or ended
}


# wait_ready returns when every running node listens and, if all run, no partition is under-replicated.
wait_ready() {
  local deadline=$((SECONDS + 120)) i out admin=()
  if [ "$(security)" = sasl_ssl ]; then admin=(--command-config "$data/secrets/admin.properties"); fi
  for i in $(seq "$(nodes)"); do
    alive "$i" || continue
    until (: < "/dev/tcp/127.0.0.1/$(port "$i")") 2>/dev/null; do
      alive "$i" || { say "kafka: node $i ended:"; tail -n 20 "$data/$i/server.out" >&2; exit 1; }
      [ "$SECONDS" -lt "$deadline" ] || { say "kafka: node $i does not listen after 120 s:"; tail -n 20 "$data/$i/server.out" >&2; exit 1; }
      sleep 0.2
    done
  done
  while :; do
    if out=$(java_run org.apache.kafka.tools.TopicCommand --bootstrap-server "$(brokers)" "${admin[@]+"${admin[@]}"}" --describe --under-replicated-partitions 2>&1); then
      grep -q 'Partition:' <<< "$out" || return 0
      for i in $(seq "$(nodes)"); do alive "$i" || return 0; done
    fi
    [ "$SECONDS" -lt "$deadline" ] || { say "kafka: not ready after 120 s: $out"; exit 1; }
    sleep 0.3
  done
}

kill_node() { if alive "$1"; then kill -9 "$(cat "$data/$1/pid")"; fi; rm -f "$data/$1/pid"; }

stop() {
  [ -e "$data/nodes" ] || return 0
  local i deadline=$((SECONDS + 20))
  for i in $(seq "$(nodes)"); do if alive "$i"; then kill "$(cat "$data/$i/pid")"; fi; done
  for i in $(seq "$(nodes)"); do
    while alive "$i"; do
      if [ "$SECONDS" -ge "$deadline" ]; then kill -9 "$(cat "$data/$i/pid")" 2>/dev/null || true; fi
      sleep 0.2
    done
    rm -f "$data/$i/pid"
  done
}

case ${1:-} in
install) install ;;
start)
  install
  mkdir -p "$data"
  if [ ! -e "$data/cluster-id" ]; then
    echo "${2:-1}" > "$data/nodes"
    echo "${3:-19092}" > "$data/first-port"
    echo "${KAFKA_SECURITY:-plaintext}" > "$data/security"
    [ -e "$here/$(security).properties" ] || { say "kafka: KAFKA_SECURITY=$(security) is unknown; use plaintext or sasl_ssl"; rm -rf "$data"; exit 2; }
    if [ "$(security)" = sasl_ssl ]; then secrets; fi
    java_run kafka.tools.StorageTool random-uuid 2>/dev/null | tail -n 1 > "$data/cluster-id"
  fi
  for i in $(seq "$(nodes)"); do alive "$i" || start_node "$i"; done
  wait_ready
  brokers ;;
kill) kill_node "$2" ;;
kill-all) for i in $(seq "$(nodes)"); do if alive "$i"; then kill_node "$i"; fi; done ;;
restart) alive "$2" || start_node "$2"; wait_ready ;;
restart-all) for i in $(seq "$(nodes)"); do alive "$i" || start_node "$i"; done; wait_ready ;;
stop) stop ;;
wipe) stop; rm -rf "$data" ;;
brokers) brokers ;;
client) if [ "${3:-}" = librdkafka ]; then echo "$data/secrets/$2.librdkafka"; else echo "$data/secrets/$2.properties"; fi ;;
tool) shift; install; replace=exec java_run "$@" ;; # Java takes this shell's place: who stops the one stops the other
*) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
