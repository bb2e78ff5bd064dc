#!/usr/bin/env bash
# Real services on loopback for the tests: Kafka 4.1, MariaDB, and a server of MongoDB's protocol.
# The OCI registry is only installed: the tests start their own, since they damage its storage.
#
#   scripts/services.sh up [kafka|mysql|mongodb|registry ...]   start them (all by default), print what to export
#   scripts/services.sh down                           stop what `up` started
#
# scripts/test.sh sources this file and calls services_start and services_stop itself.
#
# Downloads and builds are kept under target/services/cache, the servers' logs of the last run under
# target/services/logs. State is fresh in every run, in a temporary directory, and ports are free
# ones. Only processes that this script started are stopped, by their id.

SERVICES_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SERVICES_DIR=$SERVICES_ROOT/target/services
SERVICES_CACHE=$SERVICES_DIR/cache
SERVICES_LOGS=$SERVICES_DIR/logs
SERVICES_FILES=$SERVICES_ROOT/scripts/services
# The tests look for its first word in all that Wasmill says: host/server/tests/common/secrets.rs.
SERVICES_PASSWORD=sesame-database
# Of this run: state, sockets, and the file `pids` with the processes in the order of their start.
SERVICES_RUN=

services_say() { printf 'services: %s\n' "$*" >&2; }

services_fail() {
    services_say "$*"
    return 1
}

# A loopback port that nothing listens on, below the range from which outgoing connections are given.
services_port() {
    local port
    for _ in $(seq 1 200); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return 0
        fi
    done
    services_fail "no free port found between 20000 and 32000"
}

# services_package COMMAND PACKAGE: makes a command available, by apt-get where that is allowed.
services_package() {
    local command=$1 package=$2
    if services_find "$command" >/dev/null; then return 0; fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        services_say "installing $package (apt-get)"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package"; } \
            >"$SERVICES_LOGS/apt-$package.log" 2>&1 ||
            services_fail "apt-get install $package failed, see $SERVICES_LOGS/apt-$package.log" || return 1
    fi
    services_find "$command" >/dev/null ||
        services_fail "\`$command\` is missing; install it (Debian, Ubuntu: apt-get install $package)"
}

# The path of a command: on PATH, or where Debian keeps servers.
services_find() {
    local found
    found=$(command -v "$1" || true)
    if [ -z "$found" ]; then
        # The highest version comes last.
        found=$(find /usr/sbin /usr/local/sbin /usr/lib/postgresql/*/bin -maxdepth 1 -name "$1" 2>/dev/null | sort -V | tail -n 1)
    fi
    [ -n "$found" ] && echo "$found"
}

# services_as USER COMMAND...: runs it as that user when we are root (servers of databases refuse
# root), else, or when the user is `-`, as ourselves. Replaces the shell, so that the process id is
# the server's.
services_as() {
    local user=$1
    shift
    if [ "$user" = - ] || [ "$(id -u)" != 0 ]; then exec "$@"; fi
    exec setpriv --reuid="$user" --regid="$user" --init-groups "$@"
}

# services_spawn NAME USER COMMAND...: starts a server as that user, its output in NAME.log. It
# outlives the terminal.
services_spawn() {
    local name=$1
    shift
    (
        trap '' HUP
        services_as "$@"
    ) >"$SERVICES_LOGS/$name.log" 2>&1 </dev/null &
    echo "$! $name" >>"$SERVICES_RUN/pids"
}

# services_wait NAME PORT SECONDS: until the server that was started last listens.
services_wait() {
    local name=$1 port=$2 seconds=$3 pid tries
    pid=$(tail -n 1 "$SERVICES_RUN/pids" | cut -d' ' -f1)
    for ((tries = 0; tries < seconds * 5; tries++)); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return 0; fi
        if ! kill -0 "$pid" 2>/dev/null; then
            services_say "$name ended while starting; the end of its log:"
            tail -n 15 "$SERVICES_LOGS/$name.log" >&2
            return 1
        fi
        sleep 0.2
    done
    services_fail "$name did not listen on port $port within $seconds s; see $SERVICES_LOGS/$name.log"
}

services_kafka() {
    local libs=$SERVICES_CACHE/kafka/libs home=$SERVICES_RUN/kafka port controller
    if [ ! -e "$libs.done" ] || ! cmp -s "$SERVICES_FILES/kafka/pom.xml" "$libs.done"; then
        services_say "fetching Kafka (54 MB, once)"
        rm -rf "$libs" "$libs.done"
        mkdir -p "$libs"
        mvn -q -B -f "$SERVICES_FILES/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$libs" \
            >"$SERVICES_LOGS/kafka-maven.log" 2>&1 ||
            services_fail "mvn failed, see $SERVICES_LOGS/kafka-maven.log" || return 1
        cp "$SERVICES_FILES/kafka/pom.xml" "$libs.done"
    fi
    port=$(services_port) && controller=$(services_port) || return 1
    mkdir -p "$home"
    # Fast rebalances, one node, and records of some megabytes. Topics are created by those who need
    # them: a topic that appears by itself would hide mistakes.
    cat >"$home/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$home/data
num.partitions=4
auto.create.topics.enable=false
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
socket.request.max.bytes=104857600
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.max.timeout.ms=900000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.max.session.timeout.ms=1800000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=500
P
    java -cp "$libs/*" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$home/server.properties" \
        >"$SERVICES_LOGS/kafka-format.log" 2>&1 ||
        services_fail "cannot format Kafka's storage, see $SERVICES_LOGS/kafka-format.log" || return 1
    services_spawn kafka - java -Xms256m -Xmx1g -Dorg.slf4j.simpleLogger.showDateTime=true \
        -Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS -cp "$libs/*" kafka.Kafka "$home/server.properties"
    services_wait kafka "$port" 60 || return 1
    export WASMILL_TEST_KAFKA=127.0.0.1:$port
    export WASMILL_TEST_KAFKA_LIBS=$libs
    services_say "Kafka on $WASMILL_TEST_KAFKA"
}

services_mysql() {
    local home=$SERVICES_RUN/mysql port server
    services_package mariadbd mariadb-server && services_package mariadb-install-db mariadb-server &&
        services_package mariadb mariadb-client || return 1
    server=$(services_find mariadbd)
    port=$(services_port) || return 1
    mkdir -p "$home"
    if [ "$(id -u)" = 0 ]; then chown mysql: "$home"; fi
    # --no-defaults: the settings of a server that the machine may have are not ours.
    (services_as mysql "$(services_find mariadb-install-db)" --no-defaults --datadir="$home/data" \
        --auth-root-authentication-method=normal --skip-test-db) >"$SERVICES_LOGS/mysql-install.log" 2>&1 ||
        services_fail "cannot make a MariaDB data directory, see $SERVICES_LOGS/mysql-install.log" || return 1
    services_spawn mysql mysql "$server" --no-defaults --datadir="$home/data" \
        --bind-address=127.0.0.1 --port="$port" --socket="$home/s.sock" --pid-file="$home/pid" \
        --skip-name-resolve --max-connections=300 --innodb-flush-log-at-trx-commit=2 \
        --character-set-server=utf8mb4 --max-allowed-packet=64M
    services_wait mysql "$port" 60 || return 1
    mariadb --no-defaults --protocol=tcp -h127.0.0.1 -P"$port" -uroot >>"$SERVICES_LOGS/mysql.log" 2>&1 -e "
        create database wasmill;
        create user 'wasmill'@'%' identified by '$SERVICES_PASSWORD';
        grant all on *.* to 'wasmill'@'%';" ||
        services_fail "cannot set MariaDB up, see $SERVICES_LOGS/mysql.log" || return 1
    export WASMILL_TEST_MYSQL=mysql://wasmill:$SERVICES_PASSWORD@127.0.0.1:$port/wasmill
    services_say "MariaDB on 127.0.0.1:$port"
}

services_mongodb() {
    local home=$SERVICES_RUN/mongodb port login='' options=''
    mkdir -p "$home"
    port=$(services_port) || return 1
    if command -v mongod >/dev/null; then
        mkdir -p "$home/data"
        services_spawn mongodb - mongod --dbpath "$home/data" --bind_ip 127.0.0.1 --port "$port" --nounixsocket
    else
        services_ferretdb "$home" "$port" || return 1
        # FerretDB passes them on to PostgreSQL, which trusts everybody here.
        login=postgres:$SERVICES_PASSWORD@ options='/?authMechanism=PLAIN'
    fi
    services_wait mongodb "$port" 60 || return 1
    export WASMILL_TEST_MONGODB=mongodb://${login}127.0.0.1:$port$options
    services_say "MongoDB's protocol on 127.0.0.1:$port"
}

# FerretDB on a PostgreSQL of its own.
services_ferretdb() {
    local home=$1 port=$2 built=$SERVICES_CACHE/ferretdb postgres_port
    services_package postgres postgresql && services_package initdb postgresql || return 1
    services_ferretdb_build "$built" || return 1
    postgres_port=$(services_port) || return 1
    if [ "$(id -u)" = 0 ]; then chown postgres: "$home"; fi
    (cd "$home" && services_as postgres "$(services_find initdb)" -D "$home/postgres" -U postgres -A trust \
        --locale=C.UTF-8 --no-sync) >"$SERVICES_LOGS/postgres-initdb.log" 2>&1 ||
        services_fail "cannot make a PostgreSQL data directory, see $SERVICES_LOGS/postgres-initdb.log" || return 1
    services_spawn postgres postgres "$(services_find postgres)" -D "$home/postgres" -h 127.0.0.1 \
        -p "$postgres_port" -k "$home" -c max_connections=200 -c fsync=off -c synchronous_commit=off
    services_wait postgres "$postgres_port" 60 || return 1
    # Linked into the run's directory, so that the process can be told from others by its command.
    ln -s "$built/mongod-dev" "$home/mongod-dev"
    # FerretDB makes its schemas in the database that every PostgreSQL has.
    services_spawn mongodb - "$home/mongod-dev" "127.0.0.1:$port" \
        "postgres://postgres@127.0.0.1:$postgres_port/postgres?pool_max_conns=50"
}

# FerretDB 1.24 with one line added: its `update` command keeps one pooled connection per statement
# until the command ends, and a bulk of more updates than the pool has connections waits for ever.
services_ferretdb_build() {
    local built=$1 source
    source=$built/source
    if [ -x "$built/mongod-dev" ] && cmp -s "$SERVICES_FILES/ferretdb/go.mod" "$source/go.mod" &&
        cmp -s "$SERVICES_FILES/ferretdb/main.go" "$source/main.go"; then
        return 0
    fi
    services_say "building FerretDB (a minute or two, once)"
    rm -rf "$built"
    mkdir -p "$source"
    cp "$SERVICES_FILES"/ferretdb/{go.mod,go.sum,main.go} "$source/"
    (
        set -e
        cd "$source"
        go mod vendor
        chmod -R u+w vendor
        update=vendor/github.com/FerretDB/FerretDB/internal/handler/msg_update.go
        sed -i.orig 's/^\(\t*\)\(result, err := common.UpdateDocument(.*\)$/\1\2\n\1closer.Close()/' "$update"
        rm "$update.orig"
        [ "$(grep -c 'closer.Close()$' "$update")" -ge 1 ]
        [ "$(grep -A1 'common.UpdateDocument(' "$update" | grep -c '^\s*closer.Close()$')" = 1 ]
        go build -mod=vendor -o ../mongod-dev.new .
        mv ../mongod-dev.new ../mongod-dev
    ) >"$SERVICES_LOGS/ferretdb-build.log" 2>&1 ||
        services_fail "building FerretDB failed, see $SERVICES_LOGS/ferretdb-build.log"
}

services_registry() {
    services_package docker-registry docker-registry
}

# services_start [NAME...]: starts them (all by default) and exports their addresses.
services_start() {
    local name names=("$@")
    [ ${#names[@]} -gt 0 ] || names=(kafka mysql mongodb registry)
    mkdir -p "$SERVICES_CACHE" "$SERVICES_LOGS"
    # Not below target: the path of a socket has a limit of about 100 bytes, and the databases'
    # users must be able to enter it.
    SERVICES_RUN=$(mktemp -d "${TMPDIR:-/tmp}/wasmill-services.XXXXXX")
    chmod 755 "$SERVICES_RUN"
    : >"$SERVICES_RUN/pids"
    for name in "${names[@]}"; do
        case $name in
        kafka | mysql | mongodb | registry) "services_$name" || return 1 ;;
        *) services_fail "there is no service \`$name\`; there are kafka, mysql, mongodb and registry" || return 1 ;;
        esac
    done
}

# Whether the process is still the one that was started: its command names this run's directory.
services_is_ours() {
    ps -o args= -p "$1" 2>/dev/null | grep -qF -- "$SERVICES_RUN"
}

# Stops what services_start started, the last one first, and removes its state. The logs stay.
services_stop() {
    local pid name signal tries
    [ -n "$SERVICES_RUN" ] && [ -d "$SERVICES_RUN" ] || return 0
    while read -r pid name; do
        signal=TERM
        # PostgreSQL waits for its clients on TERM.
        [ "$name" = postgres ] && signal=INT
        if services_is_ours "$pid"; then kill "-$signal" "$pid" 2>/dev/null || true; fi
    done < <(sed '1!G;h;$!d' "$SERVICES_RUN/pids")
    while read -r pid name; do
        for ((tries = 0; tries < 100; tries++)); do
            services_is_ours "$pid" || continue 2
            sleep 0.1
        done
        services_say "$name does not end, killing it"
        kill -KILL "$pid" 2>/dev/null || true
    done <"$SERVICES_RUN/pids"
    rm -rf "$SERVICES_RUN"
    SERVICES_RUN=
    services_say "stopped; their logs are in target/services/logs"
}

services_main() {
    set -euo pipefail
    local current=$SERVICES_DIR/current variable
    case ${1:-} in
    up)
        shift
        if [ -e "$current" ] && [ -d "$(cat "$current")" ]; then
            services_fail "they are up already; \`scripts/services.sh down\` stops them" || exit 1
        fi
        trap 'services_stop' EXIT
        services_start "$@"
        trap - EXIT
        echo "$SERVICES_RUN" >"$current"
        for variable in WASMILL_TEST_KAFKA WASMILL_TEST_KAFKA_LIBS WASMILL_TEST_MYSQL WASMILL_TEST_MONGODB; do
            if [ -n "${!variable:-}" ]; then printf 'export %s=%q\n' "$variable" "${!variable}"; fi
        done
        ;;
    down)
        if [ ! -e "$current" ]; then
            services_fail "nothing was started by \`scripts/services.sh up\`" || exit 1
        fi
        SERVICES_RUN=$(cat "$current")
        services_stop
        rm -f "$current"
        ;;
    *)
        echo "usage: scripts/services.sh up [kafka|mysql|mongodb|registry ...] | down" >&2
        exit 2
        ;;
    esac
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then services_main "$@"; fi
