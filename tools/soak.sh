#!/usr/bin/env bash
# The long runs: every shape of split, packet loss, twenty nodes, rolling changes, the simulation. Each result is a line of docs/soak.md.
#
# Usage: ROUNDS=20 SECS=600 SEEDS=100000 tools/soak.sh [heal|loss|twenty|rolling|seeds|sim ...]
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib.sh
export ROUNDS=${ROUNDS:-20} SECS=${SECS:-600}
SEEDS=${SEEDS:-100000}
page=docs/soak.md
logs=$(target_dir)/test-logs
mkdir -p "$logs"
failed=0

note() { # WHAT HOW-MUCH RESULT
	echo "| $(date -u +%Y-%m-%d) | $(git rev-parse --short HEAD) | $1 | $2 | $3 |" >>"$page"
	say "$1 ($2): $3"
}
run() { # WHAT HOW-MUCH SUMMARY-OF-THE-LOG COMMAND...
	local what=$1 much=$2 summary=$3 log=$logs/soak-$1.log rc=0
	shift 3
	say "$what, $much; the log is $log"
	"$@" >"$log" 2>&1 || rc=$?
	case $rc in
	0) note "$what" "$much" "holds: $($summary "$log")" ;;
	77) note "$what" "$much" "skipped: $(tail -n 1 "$log")" ;;
	*) note "$what" "$much" "FAILED: $(grep -m 1 "FAILED\|panicked\|repeat with" "$log" || tail -n 1 "$log")"; failed=1 ;;
	esac
}
slowest() { awk '$1 == "heal" {n[$2]++; if ($3 > m[$2]) m[$2] = $3} END {for (s in n) printf "%s %d × ≤ %d ms, ", s, n[s], m[s]}' "$1" | sed 's/, $//'; }
measured() { grep -E "^(alarm|found|grown) " "$1" | paste -sd, | sed 's/,/, /g'; }
pauses() { grep -o "longest pause [0-9.]* s" "$1" | sort -k3 -n | tail -n 1; }
seconds() { grep -o "finished in [0-9.]*s\|[0-9]* seeds from [0-9]* on hold" "$1" | tail -n 1; }

(($#)) || set -- heal loss twenty rolling seeds sim
for what; do
	case $what in
	heal) run heal "$ROUNDS rounds" slowest tests/lab/heal.sh ;;
	loss) run loss "$SECS s each" measured tests/lab/loss.sh ;;
	twenty) run twenty "once" measured tests/lab/twenty.sh ;;
	rolling) run rolling "once" pauses tests/lab/rolling.sh ;;
	seeds) run "cluster machine" "$SEEDS seeds a test" seconds env CLUSTER_SEEDS=$SEEDS cargo test --release --locked -q -p flockmq-cluster node::tests ;;
	sim) run simulation "$SEEDS seeds" seconds cargo run --release --locked -q -p flockmq-sim -- --seeds "$SEEDS" ;;
	*) die "no such run: $what" ;;
	esac
done
exit $failed
