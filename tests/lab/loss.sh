#!/usr/bin/env bash
# Test: no false alarm at 10 and 30 % loss or while a node is paused for less than a second; who is really silent is found in time.
#
# SECS=600 is how long each loss lasts. `alarm`, `found` lines tell what was measured.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 3
all="s1 s2 s3"
name() { echo "emqx@$1.emqx.io"; }
for h in $all; do node $h "$(name $h)"; start $h & done
wait
for h in s2 s3; do says "Join the cluster successfully." ctl $h cluster join "$(name s1)"; done
whole=$(status "$(name s1)" "$(name s2)" "$(name s3)")
all_see "$all" "$whole"
alarms() { cat "$DIR"/s?/log/emqx.log.* | grep -c "a member does not serve" || true; }
quiet() { # WHAT
	local n
	sleep 0.3
	n=$(($(alarms) - known))
	echo "alarm $1 $n"
	((n == 0)) || { grep -h "does not serve\|is here" "$DIR"/s?/log/emqx.log.*; fail "$n false alarms: $1"; }
}

echo "-- who is silent is found: within 2 s on a good network"
found() { # LIMIT-MS WHAT
	local began=$(date +%s%3N) took
	$NET port s3 down
	until_ok 30 sees s1 "$(status "$(name s1)" "$(name s2)" -- "$(name s3)")" || fail "s3 is not missed"
	took=$(($(date +%s%3N) - began))
	echo "found $2 $took"
	((took <= $1)) || fail "it took $took ms until s3 was missed"
	$NET port s3 up
	$NET impair off
	all_see "$all" "$whole"
}
# Half a second for the cut itself and for asking.
found 2500 clean
known=$(alarms)

echo "-- paused for less than a second"
for n in 1 2 3; do
	$NET pause s2
	sleep 0.8
	$NET resume s2
	sleep 1
done
quiet pause
for loss in 10 30; do
	echo "-- $loss % of all packets are lost for ${SECS:=15} s"
	$NET impair all all loss=$loss seed=$loss
	sleep $SECS
	quiet "loss $loss"
	$NET impair off
done

echo "-- and within 10 s on a bad one; what was learned of it is forgotten within a minute or two"
$NET impair all all loss=30 seed=1
sleep 5
found 10500 lossy
