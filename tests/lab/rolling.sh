#!/usr/bin/env bash
# Test: restarts, a new cookie and new addresses, one node at a time under QoS 1 traffic through the others: nothing is lost, no pause longer than 2 s.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 4
all="s1 s2 s3"
for h in $all; do node $h "emqx@$h.emqx.io"; start $h; done
for h in s2 s3; do says "Join the cluster successfully." ctl $h cluster join emqx@s1.emqx.io; done
whole=$(status emqx@s1.emqx.io emqx@s2.emqx.io emqx@s3.emqx.io)
all_see "$all" "$whole"

# traffic FROM TO : ten QoS 1 messages a second from a client of one node to one of another, until `quiet`.
run=0
traffic() {
	topic=roll/$((++run))
	: >"$DIR/got.$run"
	on "$2" mosquitto_sub -h 127.0.0.1 -q 1 -t $topic -i "to-$2-$run" -F '%U %p' >"$DIR/got.$run" &
	until_ok 10 ctl "$2" clients show "to-$2-$run"
	until_ok 10 routed "$1" $topic "$2"
	LAB_TIMEOUT=300 on "$1" bash -c 'n=0; while [[ ! -e "$1" ]]; do echo $((++n)); sleep 0.1; done | mosquitto_pub -h 127.0.0.1 -q 1 -t "$2" -l -i from' _ "$DIR/quiet" $topic &
	publisher=$!
	until_ok 10 so_many 5
}
so_many() { (($(wc -l <"$DIR/got.$run") >= $1)); }
# quiet : all of them have come, each once, and none much later than the one before.
quiet() {
	until_ok 10 so_many 20
	touch "$DIR/quiet"
	wait $publisher
	rm "$DIR/quiet"
	python3 - "$DIR/got.$run" <<'P' || fail "the traffic suffered: $1"
import sys
rows = [line.split() for line in open(sys.argv[1]) if line.strip()]
numbers = [int(n) for _, n in rows]
assert len(numbers) > 5, "hardly any traffic"
assert numbers == list(range(1, len(numbers) + 1)), f"lost or doubled: {numbers}"
pauses = [float(b[0]) - float(a[0]) for a, b in zip(rows, rows[1:])]
print(f"ok: {len(numbers)} messages, longest pause {max(pauses):.3f} s")
assert max(pauses) <= 2, max(pauses)
P
}

echo "-- rolling restart: each node in turn, traffic through the two others"
for h in $all; do
	others=(${all/$h/})
	traffic ${others[0]} ${others[1]}
	stop $h
	start $h
	all_see "$all" "$whole"
	quiet "restart of $h"
done

echo "-- rolling change of the cookie"
restart() { stop $1; start $1; all_see "$all" "$whole"; }
for step in "node.cookie_accept new-cookie" "node.cookie new-cookie" "node.cookie_accept old"; do
	for h in $all; do
		set_key "$DIR/$h/etc/emqx.conf" ${step% *} ${step#* }
		[[ $step != "node.cookie new-cookie" ]] || set_key "$DIR/$h/etc/emqx.conf" node.cookie_accept cookie-of-the-lab
		restart $h
	done
done
grep -qx "node.cookie = new-cookie" "$DIR/s1/etc/emqx.conf"
traffic s1 s2
quiet "the new cookie"

echo "-- a node moves to another host of the same name: the new address is found"
stop s3
cp -R "$DIR/s3" "$DIR/s4"
old=$($NET addr s3) new=$($NET addr s4)
for h in s1 s2 s4; do
	# In place: the hosts see this very file.
	file=/etc/netns/$LAB-$h/hosts
	changed=$(sed "/^$new[[:space:]]/d; s/^$old\([[:space:]]\)/$new\1/" "$file")
	echo "$changed" >"$file"
done
set_key "$DIR/s4/etc/emqx.conf" node.name emqx@s3.emqx.io
start s4
all_see "s1 s2 s4" "$whole"
arrives s1 s2
