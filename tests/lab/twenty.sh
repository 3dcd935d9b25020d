#!/usr/bin/env bash
# Test: twenty nodes, started all at once by an automatic strategy, are one cluster within 30 s; three within 5 s.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 20
now() { date +%s%3N; }
grown() { # COUNT LIMIT-MS : fresh nodes, all at once
	local count=$1 hosts="" h began took seeds names
	hosts=$(seq -f 's%g' "$count")
	seeds=$(for h in $hosts; do echo "emqx@$h.emqx.io"; done | paste -sd,)
	names=$(for h in $hosts; do echo "emqx@$h.emqx.io"; done)
	for h in $hosts; do
		end_node "$DIR/$h" 2>/dev/null || true
		rm -rf "${DIR:?}/$h"
		node "$h" "emqx@$h.emqx.io" cluster.discovery=static "cluster.static.seeds=$seeds" node.shards=1
	done
	for h in $hosts; do start "$h" >/dev/null & done
	wait
	# The time is from the last start, which has returned.
	began=$(now)
	all_see "$(echo $hosts)" "$(status $names)" >/dev/null
	took=$(($(now) - began))
	echo "grown $count $took"
	((took <= $2)) || fail "$count nodes took $took ms"
	arrives s1 "s$count"
}
grown 3 5000
grown 20 30000
for h in $(seq -f 's%g' 20); do end_node "$DIR/$h" & done
wait
