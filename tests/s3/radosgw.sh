#!/usr/bin/env bash
# A real S3 server from Debian's packages, for tests: Ceph's gateway over one monitor and one store in memory, all on
# loopback. Runs the command given with TEST_S3_* set, then ends the servers it started.
#   apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd
#   tests/s3/radosgw.sh cargo test -p objstore -p tests
set -euo pipefail
port=${RGW_PORT:-17480} mon=${CEPH_MON_PORT:-43300}
dir=$(mktemp -d "${TMPDIR:-/tmp}/radosgw.XXXXXX")
for need in radosgw ceph-mon ceph-osd monmaptool radosgw-admin; do
    command -v "$need" >/dev/null || { echo "SKIPPED: no $need on PATH" >&2; exit "${CI:+1}"; }
done

finish() {
    for pidfile in "$dir"/run/*.pid; do
        [ -f "$pidfile" ] || continue
        pid=$(cat "$pidfile")
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null || true
    done
    rm -rf "$dir"
}
trap finish EXIT

mkdir -p "$dir"/{mon,osd,log,run,rgw}
touch "$dir/keyring"
cat > "$dir/ceph.conf" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = [v2:127.0.0.1:$mon,v1:127.0.0.1:$((mon + 1))]
public network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
auth supported = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
ms bind ipv6 = false
keyring = $dir/keyring
run dir = $dir/run
log file = $dir/log/\$name.log
pid file = $dir/run/\$name.pid
admin socket = $dir/run/\$name.asok
[mon]
mon data = $dir/mon
mon initial members = a
mon data avail crit = 1
mon data avail warn = 2
[osd]
osd data = $dir/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd max object name len = 2048
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw data = $dir/rgw
ms mon client mode = crc
CONF
export CEPH_CONF=$dir/ceph.conf
fsid=$(sed -n 's/^fsid = //p' "$dir/ceph.conf")
osd=$(cat /proc/sys/kernel/random/uuid)
{
    monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$mon,v1:127.0.0.1:$((mon + 1))]" "$dir/monmap"
    ceph-mon -i a --mkfs --monmap "$dir/monmap"
    ceph-mon -i a
    ceph osd new "$osd"
    ceph-osd -i 0 --mkfs --osd-uuid "$osd"
    ceph-osd -i 0
    radosgw -n client.rgw
} > "$dir/log/start.log" 2>&1 || { cat "$dir/log/start.log" >&2; exit 1; }
for _ in $(seq 120); do curl -sf "http://127.0.0.1:$port/" >/dev/null && break; sleep 0.5; done
radosgw-admin -n client.rgw user create --uid=test --display-name=test \
    --access-key=testkey --secret-key=testsecret >/dev/null
export TEST_S3_ENDPOINT=http://127.0.0.1:$port TEST_S3_BUCKET=aion-test TEST_S3_REGION=us-east-1
export TEST_S3_ACCESS_KEY=testkey TEST_S3_SECRET_KEY=testsecret
# the bucket, by a request signed with the keys of above
curl -sf -X PUT --aws-sigv4 "aws:amz:us-east-1:s3" --user testkey:testsecret "$TEST_S3_ENDPOINT/$TEST_S3_BUCKET"
"$@"
