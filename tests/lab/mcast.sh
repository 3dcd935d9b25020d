#!/usr/bin/env bash
# Test: nodes find one another by multicast, only those with the same cluster.name and cookie.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 5
for h in s1 s2 s3 s4 s5; do $NET firewall $h allow 1883 4370 udp/4369; done
s1=emqx@s1.emqx.io s2=emqx@s2.emqx.io s3=emqx@s3.emqx.io
for h in s1 s2 s3 s4 s5; do node $h emqx@$h.emqx.io cluster.discovery=mcast cluster.mcast.ports=4369,4370; done
set_key "$DIR/s4/etc/emqx.conf" cluster.name another
set_key "$DIR/s5/etc/emqx.conf" node.cookie another

start s1
start s2
prints "$(status $s1 $s2)" ctl s2 cluster status
for h in s3 s4 s5; do start $h & done
wait
all_see "s1 s2 s3" "$(status $s1 $s2 $s3)"
arrives s3 s1 s2
all_see s4 "$(status emqx@s4.emqx.io)"
all_see s5 "$(status emqx@s5.emqx.io)"
says "with another cookie (node.cookie) were heard from" ctl s5 cluster discovery
says "with another cluster.name were heard from" ctl s4 cluster discovery

echo "-- garbage"
for i in 1 2 3 4 5; do
	$NET exec cli bash -c "head -c $((i * 200)) /dev/urandom >/dev/udp/$($NET addr s1)/4369"
done 2>/dev/null || true
all_see "s1 s2 s3" "$(status $s1 $s2 $s3)"

echo "-- IPv6, on the interface that has the address"
for h in s4 s5; do
	stop $h
	rm -rf "$DIR/$h/data"/*
	set_key "$DIR/$h/etc/emqx.conf" cluster.name six
	set_key "$DIR/$h/etc/emqx.conf" node.cookie six
	set_key "$DIR/$h/etc/emqx.conf" cluster.mcast.addr ff15::4369
	set_key "$DIR/$h/etc/emqx.conf" cluster.mcast.iface "$($NET exec $h ip -6 -o addr show dev eth0 scope global | sed 's|.*inet6 \([^/]*\)/.*|\1|')"
	start $h
done
all_see "s4 s5" "$(status emqx@s4.emqx.io emqx@s5.emqx.io)"
