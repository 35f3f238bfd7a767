#!/bin/sh
# Makes the Debian package of haad, haactl and haa-jepsen out of programs that are built already. Installs nothing,
# builds nothing.
#   deploy/deb/build.sh PROGRAMS DIRECTORY    PROGRAMS has haad and haactl, and haa-jepsen if it is to be in the package;
#                                             prints the package, which is in DIRECTORY
# DEBFULLNAME and DEBEMAIL say who makes it, DEB_COMPRESSION how it is packed.
set -eu
umask 022

programs=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$top/Cargo.toml")
release=$version-1
maker="${DEBFULLNAME:-The haa developers} <${DEBEMAIL:-haa@localhost}>"
architecture=$(dpkg --print-architecture)
libc=$(dpkg-query --show --showformat '${Version}' libc6 | sed 's/-.*//')
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
put() { install -D -m "$1" "$2" "$root$3"; }

for program in haad haactl; do
    put 755 "$programs/$program" "/usr/bin/$program"
    ! command -v strip >/dev/null || strip "$root/usr/bin/$program"
    "$programs/$program" papers "$root/papers"
done
if [ -x "$programs/haa-jepsen" ]; then
    put 755 "$programs/haa-jepsen" /usr/bin/haa-jepsen
    ! command -v strip >/dev/null || strip "$root/usr/bin/haa-jepsen"
fi
for page in "$root"/papers/man/*.1; do
    put 644 "$page" "/usr/share/man/man1/${page##*/}"
    gzip -9n "$root/usr/share/man/man1/${page##*/}"
done
for program in haad haactl; do
    scripts=$root/papers/completions
    put 644 "$scripts/$program.bash" "/usr/share/bash-completion/completions/$program"
    put 644 "$scripts/_$program" "/usr/share/zsh/vendor-completions/_$program"
    put 644 "$scripts/$program.fish" "/usr/share/fish/vendor_completions.d/$program.fish"
done
rm -r "$root/papers"

put 644 "$top/deploy/systemd/haad.service" /lib/systemd/system/haad.service

# The example names the places that this package makes.
"$programs/haad" config example >"$root/haad.toml"
put 640 "$root/haad.toml" /etc/haa/haad.toml
rm "$root/haad.toml"

doc=/usr/share/doc/haa
put 644 "$here/README.Debian" "$doc/README.Debian"
put 644 "$here/copyright" "$doc/copyright"
put 644 "$top/CHANGELOG.md" "$doc/changelog"
printf 'haa (%s) unstable; urgency=medium\n\n  * Release %s: changelog.gz says what has changed.\n\n -- %s  %s\n' \
    "$release" "$version" "$maker" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" >"$root$doc/changelog.Debian"
gzip -9n "$root$doc/changelog" "$root$doc/changelog.Debian"
(cd "$top/docs" && find . -name '*.md') | while read -r page; do put 644 "$top/docs/$page" "$doc/$page"; done
for kind in haproxy nginx pgbouncer prometheus; do
    for file in "$top/deploy/$kind"/*; do put 644 "$file" "$doc/examples/$kind/${file##*/}"; done
done

mkdir "$root/DEBIAN"
for script in postinst prerm postrm; do put 755 "$here/$script" "/DEBIAN/$script"; done
echo /etc/haa/haad.toml >"$root/DEBIAN/conffiles"
(cd "$root" && find usr lib etc -type f -exec md5sum {} + | LC_ALL=C sort -k 2 >DEBIAN/md5sums)
cat >"$root/DEBIAN/control" <<CONTROL
Package: haa
Version: $release
Architecture: $architecture
Maintainer: $maker
Installed-Size: $(du -sk "$root" | cut -f 1)
Depends: libc6 (>= $libc), libgcc-s1, postgresql | postgresql-18 | postgresql-17 | postgresql-16 | postgresql-15 | postgresql-14 | postgresql-13
Suggests: etcd-server
Section: database
Priority: optional
Description: High availability and failover for PostgreSQL
 haa keeps one writable PostgreSQL in a replicated cluster, whatever breaks.
 An agent, haad, stands beside each Postgres; the agents agree through etcd,
 promote a replica when the primary is lost, take the old primary back, and
 tell any client where to write and where to read. Operators use haactl.
 .
 haa-jepsen breaks a throw-away cluster on this machine on purpose, and judges
 what its clients saw. It needs root, and iproute2, iptables, nftables and etcd.
CONTROL

mkdir -p "$out"
package=$out/haa_${release}_$architecture.deb
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Z"${DEB_COMPRESSION:-xz}" --build "$root" "$package" >/dev/null
echo "$package"
