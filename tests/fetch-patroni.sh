#!/bin/sh
# Fetches Patroni, which the test of the migration takes over from, into target/patroni. Needs the system's python3 with
# venv (Debian: python3-venv), which the servers' user may run; installs nothing outside of it.
set -eu

cd "$(dirname "$0")/.."

into=target/patroni
if [ ! -x "$into/bin/patroni" ]; then
    rm -rf "$into"
    /usr/bin/python3 -m venv "$into"
    "$into/bin/pip" install --quiet --disable-pip-version-check 'patroni[etcd3]==4.1.5' 'psycopg2-binary==2.9.13'
    chmod -R a+rX "$into"
fi
"$into/bin/patroni" --version
