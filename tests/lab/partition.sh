#!/usr/bin/env bash
# Test: a cut network: each side serves and says who is away; the cluster is one again by itself, with both sides' data.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 3
n1=emqx@s1.emqx.io n2=emqx@s2.emqx.io n3=emqx@s3.emqx.io
node s1 $n1; node s2 $n2; node s3 $n3
for h in s1 s2 s3; do start $h; done
says "Join the cluster successfully." ctl s2 cluster join $n1
says "Join the cluster successfully." ctl s3 cluster join $n1
whole=$(status $n1 $n2 $n3)
all_see "s1 s2 s3" "$whole"
for h in s1 s2 s3; do on $h mosquitto_sub -h 127.0.0.1 -t stays -i "stays-$h" -k 60 >/dev/null & done
for h in s1 s2 s3; do until_ok 10 ctl $h clients show "stays-$h" || fail "no client on $h"; done
since() { ctl "$1" clients show "stays-$1" | grep -o ' connected_at=[0-9]*'; }
before=$(for h in s1 s2 s3; do since $h; done)

on s2 mosquitto_sub -h 127.0.0.1 -t '$SYS/brokers/+/alarms/#' -i watcher -v >"$DIR/alarms" &
until_ok 10 ctl s2 clients show watcher || fail "no watcher"

for cut in "partition s1 s2,s3" "oneway s1 s2,s3"; do
	echo "-- $cut"
	$NET $cut
	all_see s1 "$(status $n1 -- $n2 $n3)"
	all_see "s2 s3" "$(status $n2 $n3 -- $n1)"
	arrives s1 s1
	arrives s2 s3
	retain s1 "r/${cut%% *}/1" minority
	retain s3 "r/${cut%% *}/3" majority
	$NET heal
	all_see "s1 s2 s3" "$whole"
	for h in s1 s2 s3; do
		until_ok 10 has_retained $h "r/${cut%% *}/1" minority
		until_ok 10 has_retained $h "r/${cut%% *}/3" majority
	done
	arrives s1 s2 s3
	arrives s3 s1
done
for word in activate deactivate; do
	until_ok 10 grep -q "brokers/$n2/alarms/$word .*\"name\":\"partition\"" "$DIR/alarms" || fail "no alarm: $(cat "$DIR/alarms")"
done
[[ $(for h in s1 s2 s3; do since $h; done) == "$before" ]] || fail "clients were dropped: $before"
