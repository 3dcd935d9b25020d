#!/usr/bin/env bash
# Test: discovery by the records of a real DNS server: A, AAAA and SRV, changes at run time, no name, no answer, a truncated answer.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
command -v named >/dev/null || [[ -x /usr/sbin/named ]] || skip "needs the program named"
export DNS_DIR=$TARGET_DIR/lab/dns$$ IN=svc
lab 3
trap 'rc=$?; tests/lab/dns.sh down >/dev/null 2>&1 || true; (exit $rc); end_lab' EXIT
dns() { tests/lab/dns.sh "$@" >/dev/null; }
dns up
for h in s1 s2 s3; do $NET firewall $h allow 1883 4370; done
ip() { $NET addr "$1"; }
n1=emqx@$(ip s1) n2=emqx@$(ip s2) n3=emqx@$(ip s3)
by() { echo "cluster.discovery=dns cluster.dns.name=$1 cluster.dns.app=emqx cluster.dns.type=$2"; }

echo "-- a name that does not exist yet, then one address after the other"
node s1 $n1 $(by cluster.emqx.io a)
node s2 $n2 $(by cluster.emqx.io a)
start s1
says "there is no name cluster.emqx.io (NXDOMAIN)" ctl s1 cluster discovery
! ctl s1 cluster doctor >"$DIR/said" 2>&1 || fail "the doctor finds nothing wrong with discovery"
grep -q "NXDOMAIN" "$DIR/said" || fail "the doctor does not say why discovery finds nobody: $(cat "$DIR/said")"
once() { (($(grep -c 'finds nobody' "$DIR/s1/log/emqx.log.1") == 1)); }
until_ok 5 once || fail "it does not say once why it finds nobody"
dns set cluster.emqx.io A "$(ip s1)" "$(ip s2)"
start s2
prints "$(status $n1 $n2)" ctl s2 cluster status
says "DNS for the A records of cluster.emqx.io" ctl s2 cluster discovery

echo "-- an answer too long for UDP comes by TCP; a third of the addresses is a node"
dns big many.emqx.io 40
dns add many.emqx.io A "$(ip s1)"
node s3 $n3 $(by many.emqx.io a)
start s3
all_see "s1 s2 s3" "$(status $n1 $n2 $n3)"

echo "-- the server fails, or is gone: nobody leaves"
stop s3
set_key "$DIR/s3/etc/emqx.conf" cluster.dns.name servfail.emqx.test
start s3
until_ok 10 says "the server cannot tell: " ctl s3 cluster discovery
dns stop
stop s2
start s2
all_see "s1 s2 s3" "$(status $n1 $n2 $n3)"
until_ok 20 says "no server answers" ctl s2 cluster discovery
dns start

echo "-- SRV records give names of hosts"
for h in s1 s2 s3; do stop $h & done
wait
dns set _emqx._tcp.emqx.io SRV "0 5 4370 s1.emqx.io." "0 5 4370 s2.emqx.io."
for h in s1 s2; do
	rm -rf "$DIR/$h"
	node $h emqx@$h.emqx.io $(by _emqx._tcp.emqx.io srv)
done
for h in s1 s2; do start $h & done
wait
all_see "s1 s2" "$(status emqx@s1.emqx.io emqx@s2.emqx.io)"

echo "-- AAAA records give addresses of IPv6"
for h in s1 s2; do stop $h & done
wait
dns set six.emqx.io AAAA fd77::11 fd77::12
for i in 1 2; do
	rm -rf "$DIR/s$i"
	node s$i emqx@fd77::1$i cluster.proto_dist=inet6_tcp $(by six.emqx.io aaaa)
done
for h in s1 s2; do start $h & done
wait
all_see "s1 s2" "$(status emqx@fd77::11 emqx@fd77::12)"
says "DNS for the AAAA records of six.emqx.io" ctl s1 cluster discovery
