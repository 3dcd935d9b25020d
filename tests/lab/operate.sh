#!/usr/bin/env bash
# Test: every block of docs/operate/cluster.md: the settings of each strategy make one cluster, the commands work; the Chinese page has the same blocks.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
page=docs/operate/cluster.md
blocks() { awk -v kind="$1" '$0 == "```" kind {n++; on = 1; print "-- " n; next} $0 == "```" {on = 0} on' "$2"; }
for kind in conf sh; do
	diff <(blocks $kind $page) <(blocks $kind docs/operate/cluster.zh.md) || fail "the pages differ in their blocks of $kind"
done
block() { blocks "$1" $page | awk -v n="$2" '/^-- /{at = $2; next} at == n'; }
command -v etcd >/dev/null || skip "needs the program etcd"
export DNS_DIR=$TARGET_DIR/lab/dns$$ ETCD_DIR=$TARGET_DIR/lab/etcd$$ K8S_DIR=$TARGET_DIR/lab/k8s$$ IN=svc
lab 2
trap 'rc=$?; for s in dns etcd k8s; do tests/lab/$s.sh down >/dev/null 2>&1 || true; done; (exit $rc); end_lab' EXIT
tests/lab/dns.sh up >/dev/null
tests/lab/dns.sh set _emqx._tcp.emqx.io SRV "0 5 4370 s1.emqx.io." "0 5 4370 s2.emqx.io." >/dev/null
tests/lab/etcd.sh up single >/dev/null
tests/lab/k8s.sh up fake >/dev/null
tests/lab/k8s.sh set default emqx "$($NET addr s1)" "$($NET addr s2)!" >/dev/null
# The stand-in wants a token over plain HTTP too.
eval "$(tests/lab/k8s.sh env)"
svc=$($NET addr svc)

nodes() { # N : two fresh nodes with the N-th block of settings
	local h line
	for h in s1 s2; do
		end_node "$DIR/$h" 2>/dev/null || true
		rm -rf "${DIR:?}/$h"
		node $h "${NAMES:-emqx@$h.emqx.io}"
		while read -r line; do
			line=${line//etcd.emqx.io/$svc}
			set_key "$DIR/$h/etc/emqx.conf" "${line%% =*}" "${line#*= }"
		done < <(block conf "$1")
	done
}
run() { # HOST N : every line of the N-th block of commands
	local line
	while read -r line; do
		LAB_TIMEOUT=60 on "$1" bash -c "$line" >"$DIR/said" 2>&1 || fail "on $1: $line
$(cat "$DIR/said")"
		[[ -s $DIR/said ]] || fail "it says nothing: $line"
		echo "ok: $1 \$ $line"
	done < <(block sh "$2")
}
both=$(status emqx@s1.emqx.io emqx@s2.emqx.io)

echo "-- by hand, health, leaving"
nodes 1
for h in s1 s2; do start $h; done
run s2 1
all_see "s1 s2" "$both"
run s1 2
run s2 3
all_see s1 "$(status emqx@s1.emqx.io)"
for n in 2 3 4 5; do
	echo "-- $(block conf $n | head -n 1)"
	nodes $n
	for h in s1 s2; do start $h & done
	wait
	all_see "s1 s2" "$both"
done
echo "-- $(block conf 6 | head -n 1)"
nodes 6
for h in s1 s2; do
	set_key "$DIR/$h/etc/emqx.conf" node.name "emqx@$($NET addr $h)"
	set_key "$DIR/$h/etc/emqx.conf" cluster.k8s.apiserver "http://$svc:8080"
	pod $h
done
all_see "s1 s2" "$(status "emqx@$($NET addr s1)" "emqx@$($NET addr s2)")"
rmdir /var/run/secrets 2>/dev/null || true
