#!/usr/bin/env bash
# Test: the page "create a cluster", statement by statement, with its exact texts, on hosts with only their ports open.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 5
# What a firewall has to let in: MQTT, and one port between nodes (4371 for names that end in 1).
for h in s1 s2 s3 s4 s5; do $NET firewall $h allow 1883 4370 4371; done
s1=emqx@s1.emqx.io s2=emqx@s2.emqx.io s3=emqx@s3.emqx.io

echo "-- names: in emqx.conf on s1, in the environment on s2"
node s1 $s1
node s2 emqx@127.0.0.1
node s3 $s3
start s1
start s2 EMQX_NODE_NAME=$s2
start s3
# From here on s2 has its name in the file, as its commands are typed in other shells.
set_key "$DIR/s2/etc/emqx.conf" node.name $s2
prints pong on s1 ./bin/emqx ping
says "Node '$s2'" ctl s2 status
prints "$(status $s1)" ctl s1 cluster status

echo "-- s2 joins s1: it gives up its data and takes s1's"
retain s1 of/s1 one
retain s2 of/s2 two
on s1 mosquitto_sub -h 127.0.0.1 -t none -i stays -k 60 &
stays=$!
on s2 mosquitto_sub -h 127.0.0.1 -V mqttv5 -t none -i goes -k 60 -d >"$DIR/goes" 2>&1 &
until_ok 10 ctl s1 clients show stays >/dev/null
until_ok 10 ctl s2 clients show goes >/dev/null
prints "Join the cluster successfully.
Cluster status: [{running_nodes,['emqx@s1.emqx.io','emqx@s2.emqx.io']}]" ctl s2 cluster join emqx@s1.emqx.io
prints "Cluster status: [{running_nodes,['emqx@s1.emqx.io','emqx@s2.emqx.io']}]" ctl s1 cluster status
prints "Cluster status: [{running_nodes,['emqx@s1.emqx.io','emqx@s2.emqx.io']}]" ctl s2 cluster status
until_ok 10 has_retained s2 of/s1 one
[[ -z $(retained s1 of/s2) && -z $(retained s2 of/s2) ]] || fail "the joiner's own data is still there"
[[ -n $(ls "$DIR/s2/data/backup") ]] || fail "no copy of what was wiped"
# The target's client saw nothing of it, the joiner's was cut off.
[[ -d /proc/$stays ]] && says "connected=true" ctl s1 clients show stays
grep -qiE 'disconnect|lost|connect' "$DIR/goes" || fail "the joiner's client was not cut off"

echo "-- s3 must join by itself; any member is a target"
prints "$(status $s3)" ctl s3 cluster status
prints "Join the cluster successfully.
$(status $s1 $s2 $s3)" ctl s3 cluster join $s2
all_see "s1 s2 s3" "$(status $s1 $s2 $s3)"
arrives s1 s2 s3
arrives s3 s1 s2
arrives s2 s3

echo "-- joins that cannot be"
prints "Ignore." ctl s1 cluster join $s1
refuses "Failed to join the cluster: {already_in_cluster,'emqx@s1.emqx.io'}" ctl s2 cluster join $s1
refuses "Failed to join the cluster: {node_down,'emqx@s9.emqx.io'}" ctl s2 cluster join emqx@s9.emqx.io
refuses "Failed to join the cluster: {node_down,'emqx@s4.emqx.io'}" ctl s2 cluster join emqx@s4.emqx.io
all_see "s1 s2 s3" "$(status $s1 $s2 $s3)"

echo "-- a member of one cluster that joins another leaves the first"
node s4 emqx@s4.emqx.io
start s4
says "Join the cluster successfully." ctl s3 cluster join emqx@s4.emqx.io
all_see "s3 s4" "$(status $s3 emqx@s4.emqx.io)"
all_see "s1 s2" "$(status $s1 $s2)"
arrives s3 s4

echo "-- a name must not change once joined"
stop s2
refuses_rename() { ! on s2 env EMQX_NODE_NAME=other@s2.emqx.io ./bin/emqx start >"$DIR/said" 2>&1 && grep -q "$s2" "$DIR/said"; }
refuses_rename || fail "a member started under another name: $(cat "$DIR/said")"
all_see "s1" "$(status $s1 -- $s2)"
prints "Cluster status: [{running_nodes,['emqx@s1.emqx.io']},
 {stopped_nodes,['emqx@s2.emqx.io']}]" ctl s1 cluster status
refuses "Failed to join the cluster: {already_in_cluster,'emqx@s2.emqx.io'}" ctl s1 cluster join $s2
start s2
all_see "s1 s2" "$(status $s1 $s2)"

echo "-- leave, and force-leave"
prints "Leave the cluster successfully.
$(status $s2)" ctl s2 cluster leave
all_see s1 "$(status $s1)"
refuses "Failed to leave the cluster: node_not_in_cluster" ctl s2 cluster leave
says "Join the cluster successfully." ctl s1 cluster join $s2
all_see "s1 s2" "$(status $s1 $s2)"
prints "Remove the node from cluster successfully.
$(status $s1)" ctl s1 cluster force-leave $s2
all_see s2 "$(status $s2)"
refuses "Failed to remove the node from cluster: node_not_in_cluster" ctl s1 cluster force-leave $s2
prints "Ignore." ctl s1 cluster force-leave $s1

echo "-- names with addresses, a port with an offset"
node s5 "emqx-1@$($NET addr s5)"
start s5
on s5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/4371' || fail "emqx-1 does not listen on 4371"
! on s5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/4370' 2>/dev/null || fail "emqx-1 listens on 4370"
says "Join the cluster successfully." ctl s5 cluster join $s1
all_see "s1 s5" "$(status $s1 "emqx-1@$($NET addr s5)")"
arrives s1 s5
arrives s5 s1

echo "-- another cookie"
set_key "$DIR/s4/etc/emqx.conf" node.cookie another
on s4 ./bin/emqx restart >/dev/null
refuses "Failed to join the cluster: {bad_cookie,'emqx@s1.emqx.io'}" ctl s4 cluster join $s1
