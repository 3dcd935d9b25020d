#!/usr/bin/env bash
# Test: five nodes named by address: joins in every direction, everything reaches everybody, restarts of any subset.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 5
all="s1 s2 s3 s4 s5"
for h in $all; do node $h "emqx@$($NET addr $h)"; done
for h in $all; do start $h; done
join() { says "Join the cluster successfully." ctl "$1" cluster join "$(name_of "$2")"; }
names() { local h; for h in "$@"; do name_of "$h"; done; }

echo "-- to the first, to the last one, to any; upwards and downwards"
join s2 s1
join s3 s2
join s5 s1
join s4 s5
all_see "$all" "$(status $(names $all))"
for h in $all; do arrives $h $all; done

echo "-- retained messages, one from each"
for h in $all; do retain $h "r/$h" "$h"; done
for h in $all; do for r in $all; do until_ok 10 has_retained $h "r/$r" "$r"; done; done

echo "-- two are killed, two are stopped; the last one serves; they return in another order"
kill9 s2; kill9 s4
all_see "s1 s3 s5" "$(status $(names s1 s3 s5) -- $(names s2 s4))"
stop s1; stop s3
all_see s5 "$(status $(names s5) -- $(names s1 s2 s3 s4))"
arrives s5 s5
until_ok 10 has_retained s5 r/s2 s2
for h in s4 s1 s2 s3; do start $h; done
all_see "$all" "$(status $(names $all))"
arrives s4 $all

echo "-- all leave but one, downwards joins"
for h in s5 s4 s3 s2; do says "Leave the cluster successfully." ctl $h cluster leave; done
for h in $all; do all_see $h "$(status "$(name_of $h)")"; done
join s4 s5
join s3 s4
join s1 s3
join s2 s3
all_see "$all" "$(status $(names $all))"
arrives s1 $all
