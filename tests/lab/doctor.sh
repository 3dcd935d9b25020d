#!/usr/bin/env bash
# Test: `cluster doctor` says within ten seconds, in words, what keeps two nodes apart.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 5
for h in s1 s2 s3 s4; do node $h "emqx@$h.emqx.io"; done
set_key "$DIR/s3/etc/emqx.conf" node.cookie another
start s1
start s2
start s3

# finds WORDS HOST TARGET : exit state 1, these words, in time.
finds() {
	local got rc=0 begin=$SECONDS
	got=$(ctl "$2" cluster doctor "$3" 2>&1) || rc=$?
	((rc == 1)) || fail "doctor $3 on $2: exit $rc, $got"
	grep -qi -- "$1" <<<"$got" || fail "doctor $3 on $2 does not say \"$1\": $got"
	((SECONDS - begin <= 11)) || fail "doctor $3 took $((SECONDS - begin)) s"
	echo "ok: doctor finds: $1"
}

says "" ctl s1 cluster doctor emqx@s2.emqx.io
finds "cannot be resolved" s1 emqx@nowhere.emqx.io
finds "cookie" s1 emqx@s3.emqx.io
finds "start the node there" s1 emqx@s4.emqx.io
finds "the node there is called emqx@s2.emqx.io, not other@s2.emqx.io" s1 other@s2.emqx.io
finds "no node name" s1 "em!qx@s2.emqx.io"

echo "-- a firewall there, one here"
$NET firewall s2 allow 1883
finds "firewall" s1 emqx@s2.emqx.io
$NET firewall s2 off
$NET firewall s1 allow 1883
finds "firewall" s1 emqx@s2.emqx.io
$NET firewall s1 off

echo "-- a join into a firewall ends by itself, with the cause"
$NET firewall s2 allow 1883
begin=$SECONDS
refuses "Failed to join the cluster: {node_down,'emqx@s2.emqx.io'}" ctl s1 cluster join emqx@s2.emqx.io
((SECONDS - begin <= 15)) || fail "the join took $((SECONDS - begin)) s to fail"
$NET firewall s2 off

echo "-- something else has the port"
mkdir -p "$DIR/s5"
LAB_TIMEOUT=300 on s5 python3 -m http.server 4370 >/dev/null 2>&1 &
until_ok 10 on s5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/4370'
finds "something else answers\|nothing answers" s1 emqx@s5.emqx.io
says "Join the cluster successfully." ctl s1 cluster join emqx@s2.emqx.io
