#!/bin/sh
# Installs what is missing here (Debian, Ubuntu):
#   install-deps.sh         for a build and a playground: PostgreSQL, etcd, protoc, a C compiler
#   install-deps.sh tests   more, for the tests: the proxies that deploy/ has configurations for, and what haa-jepsen
#                           makes hosts with, and what judges the unit
# Leaves no server running and no cluster made, and touches nothing when nothing is missing.
set -eu

case "${1-}" in
"" | tests) ;;
*)
    echo "usage: install-deps.sh [tests]" >&2
    exit 2
    ;;
esac

missing=
need() { missing="$missing $1"; }

ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || need postgresql
command -v etcd >/dev/null || need etcd-server
command -v etcdctl >/dev/null || need etcd-client
command -v protoc >/dev/null || need protobuf-compiler
[ -e /usr/include/google/protobuf/descriptor.proto ] || need libprotobuf-dev
command -v cc >/dev/null || need "gcc libc6-dev"
if [ "${1-}" = tests ]; then
    command -v ip >/dev/null || [ -x /usr/sbin/ip ] || need iproute2
    command -v nft >/dev/null || [ -x /usr/sbin/nft ] || need nftables
    command -v iptables >/dev/null || [ -x /usr/sbin/iptables ] || need iptables
    ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || need libfaketime
    [ -x /usr/sbin/haproxy ] || need haproxy
    [ -x /usr/sbin/pgbouncer ] || need pgbouncer
    [ -x /usr/sbin/nginx ] || need nginx-light
    [ -e /usr/lib/nginx/modules/ngx_stream_js_module.so ] || need "libnginx-mod-stream libnginx-mod-stream-js"
    command -v systemd-analyze >/dev/null || need systemd
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "missing:$missing, and there is no apt-get here: install them by the means of this system" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "missing:$missing, and neither root nor sudo is here: as root, run apt-get install$missing" >&2
        exit 1
    fi
    as_root=sudo
fi

# While we install, no service starts and Debian's scripts make no cluster; afterwards all is as it was.
policy=/usr/sbin/policy-rc.d
no_cluster=/etc/postgresql-common/createcluster.d/haa-install.conf
made_policy=
restore() {
    [ -z "$made_policy" ] || $as_root rm -f "$policy"
    $as_root rm -f "$no_cluster"
}
trap restore EXIT
trap 'exit 1' HUP INT TERM
if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi
$as_root mkdir -p "$(dirname "$no_cluster")"
echo 'create_main_cluster = false' | $as_root tee "$no_cluster" >/dev/null

echo "installing$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of names
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing

# Nor shall they start with the machine: haa and its tests start their own.
if [ -d /run/systemd/system ]; then
    case "$missing" in *etcd-server*) $as_root systemctl disable -q etcd 2>/dev/null || true ;; esac
    for service in haproxy nginx pgbouncer; do
        case "$missing" in *"$service"*) $as_root systemctl disable -q "$service" 2>/dev/null || true ;; esac
    done
fi
