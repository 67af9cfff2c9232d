#!/bin/sh
# The demo on a real hypervisor: two guests from nothing to nothing.
#   KERNEL=… INITRD=… examples/demo-libvirt.sh [FOLDER]
# KERNEL and INITRD are what the guests boot (`make demo-libvirt` makes them). LIBVIRT_DEFAULT_URI says where, by default
# qemu:///system of this machine, whose QEMU must be able to read FOLDER (.demo-libvirt, made anew). Needs `interlock`,
# `virsh` and `qemu-img` on the path. A pool and a network of its own, both named interlock-demo, are gone in the end.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-.demo-libvirt}
rm -rf "$folder"
mkdir -p "$folder/consoles" "$folder/pool"
folder=$(cd "$folder" && pwd)
chmod 755 "$folder"
export LIBVIRT_DEFAULT_URI="${LIBVIRT_DEFAULT_URI:-qemu:///system}"
export INTERLOCK_DB="$folder/interlock.db"

say() { printf '\n$ %s\n' "$*"; "$@"; }
listing() { for list in "list --all" "net-list --all" "pool-list --all" "nwfilter-list"; do virsh -q $list; done; }
console() {   # wait until each of two guests has said that it is ready, for the time that was asked
    for log in "$folder"/consoles/*.log; do
        tries=0
        while [ "$(grep -c 'GUEST ready' "$log")" -lt "$1" ] && [ $tries -lt 120 ]; do sleep 1; tries=$((tries + 1)); done
        printf '\n%s\n' "$log"; cat "$log"
    done
}
cleanup() {
    virsh -q net-destroy interlock-demo >/dev/null 2>&1 || true
    virsh -q pool-destroy interlock-demo >/dev/null 2>&1 || true
}

listing >"$folder/before"
trap cleanup EXIT
cat >"$folder/network.xml" <<XML
<network><name>interlock-demo</name><bridge name='ilkdemo0'/><forward mode='open'/>
<ip address='10.214.0.1' netmask='255.255.255.0'/></network>
XML
virsh -q net-create "$folder/network.xml"
virsh -q pool-create-as interlock-demo dir --target "$folder/pool" >/dev/null
qemu-img create -q -f qcow2 "$folder/template.qcow2" 16M
sum=$(sha256sum "$folder/template.qcow2" | cut -d' ' -f1)
sed -e "s|URI|$LIBVIRT_DEFAULT_URI|" -e "s|FOLDER|$folder|" -e "s|KERNEL|$KERNEL|" -e "s|INITRD|$INITRD|" -e "s|SHA256|$sum|" \
    "$here/libvirt.toml" >"$folder/cloud.toml"

say interlock init "$folder/cloud.toml"
say interlock deploy web --offering tiny --template debian-12 --account acme --security-group acme/web --data-disk 8 --count 2
say virsh list
say virsh vol-list interlock-demo
console 1
say interlock stop web-1 web-2
say virsh list --all
say interlock start web-1 web-2
console 2
say interlock history web-1
say interlock destroy web-1 web-2 --forced
say interlock expunge web-1 web-2
say interlock doctor
say virsh vol-list interlock-demo
left=$(virsh -q vol-list interlock-demo | grep -v interlock-image- || true)
entries=$(virsh net-dumpxml interlock-demo | grep '<host ' || true)
cleanup
listing >"$folder/after"
cmp "$folder/before" "$folder/after"
[ -z "$left$entries" ] || { printf 'left: %s %s\n' "$left" "$entries" >&2; exit 1; }
printf '\nNothing is left.\n'
