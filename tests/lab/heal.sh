#!/usr/bin/env bash
# Test: splits in two, three and five, one-way cuts, a host that sees only some, flapping, a cut longer than autoclean: one cluster again within 3 s.
#
# ROUNDS=20 runs each shape so often. What each took is printed as `heal SHAPE MILLISECONDS`.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 5
all="s1 s2 s3 s4 s5"
name() { echo "emqx@$1.emqx.io"; }
for h in $all; do node $h "$(name $h)" cluster.autoclean=8s; start $h & done
wait
for h in s2 s3 s4 s5; do says "Join the cluster successfully." ctl $h cluster join "$(name s1)"; done
names=$(for h in $all; do name $h; done)
whole=$(status $names)
all_see "$all" "$whole"
# A client on each node stays connected through everything.
for h in $all; do LAB_TIMEOUT=3600 on $h mosquitto_sub -h 127.0.0.1 -t stays -i "stays-$h" -k 600 >/dev/null & done
for h in $all; do until_ok 10 ctl $h clients show "stays-$h" || fail "no client on $h"; done
since() { for h in $all; do ctl "$h" clients show "stays-$h" | grep -o ' connected_at=[0-9]*'; done; }
clients=$(since)
pids=$(for h in $all; do pid $h; done)

now() { date +%s%3N; }
# All say the same of members and of every table.
one_cluster() {
	local h first= said
	for h in $all; do
		said=$(ctl $h cluster status --json) || return 1
		[[ $said == *'"stopped_nodes":[]'* ]] || return 1
		: "${first:=$said}"
		[[ $said == "$first" ]] || return 1
	done
	for h in $all; do [[ $said == *"$(name $h)"* ]] || return 1; done
}
sees_less() { [[ $(ctl "$1" cluster status) != "$whole" ]]; }

shape() { # NAME SECONDS HOST-THAT-NOTICES CUT...
	local what=$1 secs=$2 notices=$3 round=$4 cut began took
	shift 4
	for cut in "$@"; do $NET $cut; done
	until_ok 12 sees_less $notices || fail "$notices does not notice: $what"
	for h in s1 s5; do on $h mosquitto_pub -h 127.0.0.1 -t "w/$what/$round/$h" -m "of $h" -r -q 1; done
	sleep "$secs"
	$NET heal
	began=$(now)
	until_ok 15 one_cluster || fail "$what: not one cluster: $(for h in $all; do ctl $h cluster status; done)"
	took=$(($(now) - began))
	echo "heal $what $took"
	((took <= 3000)) || fail "$what took $took ms"
	for h in s1 s5; do
		has_retained s3 "w/$what/$round/$h" "of $h" || fail "$what: what was written on $h is gone"
	done
	[[ $(since) == "$clients" ]] || fail "$what: clients were dropped"
}

for ((round = 1; round <= ${ROUNDS:-1}; round++)); do
	shape two 1 s1 $round "partition s1,s2 s3,s4,s5"
	shape three 1 s1 $round "partition s1 s2,s3,s4,s5" "partition s2,s3 s4,s5"
	shape five 1 s1 $round "partition s1 s2,s3,s4,s5" "partition s2 s3,s4,s5" "partition s3 s4,s5" "partition s4 s5"
	shape oneway 1 s1 $round "oneway s1 s2,s3,s4,s5"
	shape some 1 s1 $round "partition s1 s3,s4,s5"
	shape arp 1 s1 $round "partition --arp s1,s2 s3,s4,s5"
	for ((n = 0; n < 4; n++)); do
		$NET partition s1,s2 s3,s4,s5
		sleep 1
		$NET heal
		sleep 1
	done
	shape flapping 0 s1 $round "partition s1,s2 s3,s4,s5"
done

echo "-- longer than autoclean: both sides have forgotten one another, and are one again"
shape cleaned 12 s1 last "partition s1,s2 s3,s4,s5"

echo "-- a client that is alive on both sides: the newest stays"
$NET partition s1,s2 s3,s4,s5
until_ok 12 sees_less s1
on s1 mosquitto_sub -V 5 -h 127.0.0.1 -t dup -i dup -k 600 -d >"$DIR/older" 2>&1 &
until_ok 5 ctl s1 clients show dup
on s5 mosquitto_sub -V 5 -h 127.0.0.1 -t dup -i dup -k 600 >"$DIR/newer" 2>&1 &
until_ok 5 ctl s5 clients show dup
$NET heal
until_ok 15 one_cluster
until_ok 5 grep -qi "taken over\|rc142\|(142)" "$DIR/older" || fail "the older client was not told: $(tail -n 3 "$DIR/older")"
ctl s5 clients show dup | grep -q "connected=true" || fail "the newer client is gone"
[[ $(for h in $all; do pid $h; done) == "$pids" ]] || fail "a process was restarted"
