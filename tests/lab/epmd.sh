#!/usr/bin/env bash
# Test: epmd mode (WITH_EPMD): ports by a real epmd and by the node's own; two nodes on a host; the firewall; epmd gone and back.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
command -v epmd >/dev/null || skip "needs the program epmd"
lab 4
n1=emqx@s1.emqx.io n2=emqx@s2.emqx.io n3=emqx@s3.emqx.io n4=emqx@s4.emqx.io other=other@s1.emqx.io
range() { echo "node.dist_listen_min=$1 node.dist_listen_max=$2"; }
node s1 $n1 $(range 6369 6370)
node s2 $n2 $(range 6369 6370)
node s3 $n3
node s4 $n4
# A second node on the first host, on other client ports.
make_node "$DIR/second" $other node.cookie=cookie-of-the-lab $(range 6369 6370) listener.tcp.external=2883 \
	listener.tcp.internal=127.0.0.1:12883 listener.ssl.external=9883 listener.ws.external=9083 listener.wss.external=9084
second() { LAB_TIMEOUT=60 $NET exec s1 env -C "$DIR/second" WITH_EPMD=1 "$@"; }
names() { $NET exec "$1" epmd -names 2>&1 | sed 1d | sort; }

echo "-- a real epmd, a firewall that lets in 4369, the range and clients alone"
for h in s1 s2 s3; do $NET firewall $h allow 1883 4369 6369 6370; done
$NET exec s1 epmd -daemon
start s1 WITH_EPMD=1
start s2 WITH_EPMD=0
[[ $(names s1) == "name emqx at port 6369" ]] || fail "epmd on s1 says $(names s1)"
echo "-- none on s2: the node stands in for it"
[[ $(names s2) == "name emqx at port 6369" ]] || fail "epmd on s2 says $(names s2)"
says "Join the cluster successfully." ctl s2 cluster join $n1
all_see "s1 s2" "$(status $n1 $n2)"
arrives s1 s2
arrives s2 s1

echo "-- two nodes on one host"
says "is started successfully!" second ./bin/emqx start
[[ $(names s1) == "name emqx at port 6369
name other at port 6370" ]] || fail "epmd on s1 says $(names s1)"
says "Join the cluster successfully." second ./bin/emqx_ctl cluster join $n2
all_see "s1 s2" "$(status $n1 $n2 $other)"

echo "-- ekka mode and epmd mode do not meet, and the doctor says so"
start s4
refuses "Failed to join the cluster: {node_down,'$n1'}" ctl s4 cluster join $n1
! ctl s4 cluster doctor $n1 >"$DIR/said" 2>&1 || fail "the doctor found nothing"
grep -q "epmd mode" "$DIR/said" || fail "the doctor does not speak of epmd: $(cat "$DIR/said")"

echo "-- the range is exhausted; the name is taken"
make_node "$DIR/third" third@s1.emqx.io node.cookie=cookie-of-the-lab $(range 6369 6370) listener.tcp.external=3883
third() { LAB_TIMEOUT=60 $NET exec s1 env -C "$DIR/third" WITH_EPMD=1 "$@"; }
! third ./bin/emqx start >"$DIR/said" 2>&1 || fail "a third node has started"
grep -q "ports 6369 to 6370" "$DIR/said" || fail "no word of the range: $(cat "$DIR/said")"
set_key "$DIR/third/etc/emqx.conf" node.name emqx@s1.emqx.io
set_key "$DIR/third/etc/emqx.conf" node.dist_listen_max 6371
! third ./bin/emqx start >"$DIR/said" 2>&1 || fail "a node with a name that is taken has started"
grep -q "the name emqx@s1.emqx.io seems to be in use by another Erlang node" "$DIR/said" || fail "no word of the name: $(cat "$DIR/said")"

echo "-- epmd goes: the cluster stays, the nodes stand in for it and are found again"
# The one of this host: others may run elsewhere on the machine.
for p in $(ip netns pids "$LAB-s1"); do [[ $(cat "/proc/$p/comm" 2>/dev/null) != epmd ]] || kill "$p"; done
both() { [[ $(names s1) == "name emqx at port 6369
name other at port 6370" ]]; }
until_ok 15 both
all_see "s1 s2" "$(status $n1 $n2 $other)"
stop s2
start s2 WITH_EPMD=1
all_see "s1 s2" "$(status $n1 $n2 $other)"
arrives s2 s1
second ./bin/emqx stop >/dev/null
