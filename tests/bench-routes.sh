#!/bin/sh
# What a health check and the router cost, beside Patroni and HAProxy, on this machine. Prints; asserts nothing.
# Wants wrk, h2load (nghttp2-client), pgbench, haproxy, curl; as root. PATRONI is Patroni's program, if it is to be
# measured too.
set -eu

haactl=${HAACTL:-target/release/haactl}
seconds=${RUN_SECONDS:-10}
runs=${RUNS:-3}
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
here=$(mktemp -d /tmp/haa-bench-XXXXXX)
chmod 755 "$here"
pids=""
end() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    "$haactl" playground --directory "$here/haa" stop >/dev/null 2>&1 || true
    wait 2>/dev/null || true
    rm -rf "$here"
}
trap end EXIT
trap 'exit 1' INT TERM

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
load() { cut -d' ' -f1 /proc/loadavg; }
# Takes the place of the shell that it is called in: to be called in the background.
as_postgres() { if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else exec "$@"; fi; }

health_checks() { # WHO URL
    for run in $(seq "$runs"); do
        load=$(load)
        wrk -t2 -c16 -d"${seconds}s" --latency "$2" | awk -v who="$1" -v load="$load" -v run="$run" '
            $1 == "50%" { p50 = $2 } $1 == "99%" { p99 = $2 } /Requests\/sec/ { rate = $2 }
            /Non-2xx/ { bad = " (" $0 ")" }
            END { print who ", run " run ", load " load ": " rate " requests/s, p50 " p50 ", p99 " p99 bad }'
    done
}

# wrk takes all that it gets, and measures its own wait for a core with it. Here 16 connections ask 10 000 times a second.
paced() { # WHO URL
    for run in $(seq "$runs"); do
        load=$(load)
        h2load --h1 -t1 -c16 --rps=625 -D "$seconds" --log-file="$here/paced" "$2" >/dev/null
        # When, status, microseconds.
        sort -n -k3 "$here/paced" | awk -v who="$1" -v load="$load" -v run="$run" -v seconds="$seconds" '
            { took[NR] = $3 } $2 != 200 { bad += 1 }
            END { printf "%s, paced, run %s, load %s: %d requests/s, p50 %d us, p99 %d us, max %d us, not 200: %d\n", who, run,
                load, NR / seconds, took[int(NR / 2)], took[int(NR * 0.99)], took[NR], bad }'
        rm "$here/paced"
    done
}

transactions() { # WAY PORT MORE...
    way=$1 port=$2
    shift 2
    # -C opens a connection for each transaction; its rate then counts connecting in.
    load=$(load)
    pgbench -n -S -c 16 -j 2 -T "$seconds" -h 127.0.0.1 -p "$port" -U postgres "$@" postgres 2>&1 |
        awk -v way="$way${1:+ $1}" -v load="$load" '/latency average/ { ms = $4 } /^tps/ { tps = $3 } /failed tr/ { failed = $5 }
            END { print way ": load " load ": " tps " transactions/s, mean " ms " ms, failed " failed }'
}

"$haactl" playground --directory "$here/haa" start >/dev/null
apis=$(grep -oE '127\.0\.0\.1:[0-9]+' "$here/haa/haactl.toml")
leads() { curl -s -o /dev/null -w '%{http_code}' "http://$1/primary"; }
for api in $apis; do if [ "$(leads "$api")" = 200 ]; then primary=$api; else other=$api; fi; done
paced "haa /primary" "http://$primary/primary"
health_checks "haa /primary" "http://$primary/primary"

server=$(curl -s "http://$primary/routes/primary?format=hostport" | sed 's/.*://')
member=$(grep -lE "^listen *= *\"$other\"" "$here"/haa/n?/haad.toml | xargs dirname | xargs basename)
router=$(free_port) proxy=$(free_port)
sed -i '/^\[router\]/d' "$here/haa/$member/haad.toml"
printf '[router]\nread_write = "127.0.0.1:%s"\n' "$router" >>"$here/haa/$member/haad.toml"
"$haactl" playground --directory "$here/haa" kill "$member" --host >/dev/null
"$haactl" playground --directory "$here/haa" revive "$member" >/dev/null
cat >"$here/haproxy.cfg" <<CFG
global
    nbthread 2
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen postgres
    bind 127.0.0.1:$proxy
    server primary 127.0.0.1:$server check
CFG
haproxy -db -f "$here/haproxy.cfg" 2>/dev/null &
pids="$pids $!"
PGPASSWORD=$(find "$here/haa" -name 'superuser*' -type f | head -1 | xargs cat)
export PGPASSWORD
until pgbench -i -q -s 10 -h 127.0.0.1 -p "$router" -U postgres postgres >/dev/null 2>&1; do sleep 1; done
# What comes later in a run is measured on a warmer server: they take turns.
for run in $(seq "$runs"); do
    if [ $((run % 2)) = 1 ]; then ways="router:$router HAProxy:$proxy"; else ways="HAProxy:$proxy router:$router"; fi
    for more in "" -C; do
        for way in "direct:$server" $ways; do
            # shellcheck disable=SC2086
            transactions "${way%:*}" "${way##*:}" $more
        done
    done
done

if [ -n "${PATRONI:-}" ]; then
    rest=$(free_port) port=$(free_port)
    etcd=$(sed -n 's|^endpoints.*http://\([^"]*\)".*|\1|p' "$here/haa/n1/haad.toml")
    mkdir "$here/patroni"
    cat >"$here/patroni.yml" <<YML
scope: bench
name: p1
restapi: {listen: "127.0.0.1:$rest", connect_address: "127.0.0.1:$rest"}
etcd3: {hosts: "$etcd"}
bootstrap: {dcs: {ttl: 30}, initdb: [{encoding: UTF8}]}
postgresql:
  listen: "127.0.0.1:$port"
  connect_address: "127.0.0.1:$port"
  data_dir: $here/patroni/data
  bin_dir: $bin
  pgpass: $here/patroni/pgpass
  authentication: {superuser: {username: postgres, password: bench}, replication: {username: rep, password: bench}}
YML
    chmod 644 "$here/patroni.yml"
    if [ "$(id -u)" = 0 ]; then chown postgres "$here/patroni"; fi
    as_postgres "$PATRONI" "$here/patroni.yml" >"$here/patroni.log" 2>&1 &
    pids="$pids $!"
    until [ "$(leads "127.0.0.1:$rest")" = 200 ]; do sleep 1; done
    health_checks "Patroni /primary" "http://127.0.0.1:$rest/primary"
fi
