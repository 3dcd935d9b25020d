#!/usr/bin/env bash
# Test: a cluster over IPv6 (cluster.proto_dist = inet6_tcp), by address and by name.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 3
# s1 and s2 are named by address, s3 by a name that has only an IPv6 address.
for h in s1 s2 s3; do echo "fd77::13 six.emqx.io" >>"/etc/netns/$LAB-$h/hosts"; done
n1=emqx@fd77::11 n2=emqx@fd77::12 n3=emqx@six.emqx.io
node s1 $n1 cluster.proto_dist=inet6_tcp
node s2 $n2 cluster.proto_dist=inet6_tcp
node s3 $n3 cluster.proto_dist=inet6_tcp
for h in s1 s2 s3; do start $h; done
# Nothing goes over IPv4: the hosts cannot reach each other there.
for h in s1 s2 s3; do ip -n "$LAB-$h" addr del "$($NET addr $h)/24" dev eth0; done
on s1 bash -c 'exec 3<>/dev/tcp/::1/4370' || fail "no listener on IPv6"
prints "Join the cluster successfully.
$(status $n1 $n2)" ctl s2 cluster join $n1
says "Join the cluster successfully." ctl s3 cluster join $n2
all_see "s1 s2 s3" "$(status $n1 $n2 $n3)"
arrives s1 s2 s3
arrives s3 s1 s2
stop s1
all_see "s2 s3" "$(status $n2 $n3 -- $n1)"
start s1
all_see "s1 s2 s3" "$(status $n1 $n2 $n3)"
