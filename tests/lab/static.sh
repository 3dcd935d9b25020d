#!/usr/bin/env bash
# Test: nodes that are listed to one another become one cluster, in any start order, with a dead seed in the list.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 3
for h in s1 s2 s3; do $NET firewall $h allow 1883 4370; done
s1=emqx@s1.emqx.io s2=emqx@s2.emqx.io s3=emqx@s3.emqx.io
# One address where nobody answers at all, one host where nothing listens.
dead="emqx@10.99.99.99,emqx@$($NET addr svc)"

echo "-- one by one: the second and the third join the first before they take clients"
for h in s1 s2 s3; do
	node $h emqx@$h.emqx.io cluster.discovery=static cluster.static.seeds="$dead,$s1,$s2,$s3"
done
began=$SECONDS
start s1
((SECONDS - began <= 4)) || fail "a dead seed holds up the start: $((SECONDS - began)) s"
retain s1 of/s1 one
start s2
prints "$(status $s1 $s2)" ctl s2 cluster status
start s3
prints "$(status $s1 $s2 $s3)" ctl s3 cluster status
all_see "s1 s2 s3" "$(status $s1 $s2 $s3)"
until_ok 5 has_retained s3 of/s1 one
arrives s3 s1 s2

echo "-- what discovery found, and why"
says "Automatic cluster discovery (static) is on." ctl s3 cluster discovery
says "emqx@10.99.99.99': not joined: no answer (timed_out)" ctl s3 cluster discovery
says "'$s1': " ctl s3 cluster discovery
(($(grep -c 'finds nobody' "$DIR/s1/log/"emqx.log.1) == 1)) || fail "it does not say once why it finds nobody"

echo "-- who left stays out until it is told otherwise"
says "Leave the cluster successfully." ctl s3 cluster leave
says "(static) is off." ctl s3 cluster discovery
on s3 ./bin/emqx restart >/dev/null
prints "$(status $s3)" ctl s3 cluster status
prints "Automatic cluster discovery (static) is on." ctl s3 cluster discovery on
all_see "s1 s2 s3" "$(status $s1 $s2 $s3)"

echo "-- the whole cluster stops, and comes back at once"
for h in s1 s2 s3; do stop $h & done
wait
for h in s3 s1 s2; do start $h & done
wait
all_see "s1 s2 s3" "$(status $s1 $s2 $s3)"
has_retained s3 of/s1 one || fail "the data is gone"

echo "-- all at once, from nothing; the oldest data wins also when its node comes last"
for h in s1 s2 s3; do stop $h & done
wait
for h in s2 s3; do rm -rf "$DIR/$h/data"/*; done
for h in s2 s3; do start $h & done
wait
all_see "s2 s3" "$(status $s2 $s3)"
start s1
all_see "s1 s2 s3" "$(status $s1 $s2 $s3)"
until_ok 10 has_retained s2 of/s1 one
