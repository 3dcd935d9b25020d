#!/usr/bin/env bash
# Test: a member that stays away is forgotten after cluster.autoclean, not before, and is welcome back with its data.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 3
all="s1 s2 s3"
name() { echo "emqx@$1.emqx.io"; }
for h in $all; do node $h "$(name $h)" cluster.autoclean=8s; start $h; done
for h in s2 s3; do says "Join the cluster successfully." ctl $h cluster join "$(name s1)"; done
whole=$(status "$(name s1)" "$(name s2)" "$(name s3)")
all_see "$all" "$whole"
retain s1 kept yes
until_ok 5 has_retained s3 kept yes

echo "-- 8 s to 1.25 times 8 s after it went down"
kill9 s3
began=$(date +%s%3N)
all_see "s1 s2" "$(status "$(name s1)" "$(name s2)" -- "$(name s3)")"
until_ok 20 sees s1 "$(status "$(name s1)" "$(name s2)")"
took=$(($(date +%s%3N) - began))
echo "cleaned after $took ms"
# Half a second for finding out that it is down, and for asking.
((took >= 7900 && took <= 10500)) || fail "cleaned after $took ms"
all_see "s1 s2" "$(status "$(name s1)" "$(name s2)")"
grep -hq "\[warning\].*no member any more.*$(name s3)" "$DIR/s1/log/emqx.log.1" || fail "the log of s1 has no warning"

echo "-- back with its data, and with what was written meanwhile"
retain s2 meanwhile too
start s3
all_see "$all" "$whole"
has_retained s3 kept yes || fail "its data is gone"
until_ok 5 has_retained s3 meanwhile too
arrives s3 s1 s2
