#!/usr/bin/env bash
# Test: discovery by a real etcd: v3 and v2, leases, a crashed and a stopped node, fail-over between servers, TLS and logins.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
command -v etcd >/dev/null || skip "needs the program etcd"
export ETCD_DIR=$TARGET_DIR/lab/etcd$$
lab 3
trap 'rc=$?; tests/lab/etcd.sh down >/dev/null 2>&1 || true; (exit $rc); end_lab' EXIT
etcd() { tests/lab/etcd.sh "$@"; }
n1=emqx@s1.emqx.io n2=emqx@s2.emqx.io n3=emqx@s3.emqx.io
whole=$(status $n1 $n2 $n3)
urls() { etcd env | sed -n 's/^ETCD_SERVER=//p' | tr -d "'"; }
nodes() { # KEY=VALUE... : three fresh nodes
	for h in s1 s2 s3; do
		end_node "$DIR/$h" 2>/dev/null || true
		rm -rf "$DIR/$h"
		node $h emqx@$h.emqx.io cluster.discovery=etcd cluster.etcd.prefix=emqxcl cluster.etcd.node_ttl=3s "cluster.etcd.server=$(urls)" "$@"
	done
}
stop_all() { for h in s1 s2 s3; do stop $h & done; wait; }
keys() { etcd ctl get --prefix emqxcl/emqxcl/nodes/ --keys-only | grep . | sort; }
entered() { [[ $(keys) == "$1" ]] || { keys; return 1; }; }
entry() { echo "emqxcl/emqxcl/nodes/$1"; }

echo "-- v3, three servers, all nodes at once"
IN=svc etcd up single >/dev/null
nodes
began=$SECONDS
for h in s1 s2 s3; do start $h & done
wait
all_see "s1 s2 s3" "$whole"
((SECONDS - began <= 10)) || fail "the cluster took $((SECONDS - began)) s"
until_ok 5 entered "$(entry $n1)
$(entry $n2)
$(entry $n3)"
says "etcd v3 at " ctl s1 cluster discovery
echo "-- who stops takes its entry back at once, who crashes loses it by its lease; nobody leaves the cluster for it"
stop s3
until_ok 1 entered "$(entry $n1)
$(entry $n2)"
kill9 s2
until_ok 10 entered "$(entry $n1)"
start s2
until_ok 5 entered "$(entry $n1)
$(entry $n2)"
start s3
all_see "s1 s2 s3" "$whole"
echo "-- etcd is gone for longer than the leases, and comes back"
etcd stop 1 KILL
sleep 4
sees s1 "$whole" || fail "the cluster fell apart without etcd"
etcd start 1 >/dev/null
until_ok 20 entered "$(entry $n1)
$(entry $n2)
$(entry $n3)"
stop_all

echo "-- v2"
nodes cluster.etcd.version=v2
for h in s1 s2 s3; do start $h & done
wait
all_see "s1 s2 s3" "$whole"
says "etcd v2 at " ctl s1 cluster discovery
stop_all
etcd down >/dev/null

echo "-- three servers with TLS: one is gone, a client certificate that is not trusted"
IN=s1,s2,s3 etcd up tls-cluster >/dev/null
pki=$ETCD_DIR/pki
tls="cluster.etcd.ssl.cacertfile=$pki/ca.pem cluster.etcd.ssl.certfile=$pki/client.pem cluster.etcd.ssl.keyfile=$pki/client.key"
nodes $tls
etcd stop 1 KILL
for h in s1 s2 s3; do start $h & done
wait
all_see "s1 s2 s3" "$whole"
stop s3
set_key "$DIR/s3/etc/emqx.conf" cluster.etcd.ssl.certfile "$pki/wrong.pem"
set_key "$DIR/s3/etc/emqx.conf" cluster.etcd.ssl.keyfile "$pki/wrong.key"
start s3
until_ok 10 says "https://" ctl s3 cluster discovery
grep -q "certificate\|alert" "$DIR/s3/log/emqx.log.1" || fail "no word of the certificate: $(tail -n 3 "$DIR/s3/log/emqx.log.1")"
stop_all
etcd down >/dev/null

echo "-- users: the password counts, and is in no log"
IN=svc etcd up auth >/dev/null
nodes cluster.etcd.username=emqx cluster.etcd.password=emqxpass
set_key "$DIR/s3/etc/emqx.conf" cluster.etcd.password guessed-wrong
for h in s1 s2 s3; do start $h & done
wait
all_see "s1 s2" "$(status $n1 $n2)"
says "the login as emqx failed" ctl s3 cluster discovery
! grep -rqE "emqxpass|guessed-wrong" "$DIR"/s?/log || fail "a password is in a log"
stop_all
