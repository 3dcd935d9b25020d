#!/usr/bin/env bash
# Test: three nodes come back from a full stop in every order, stopped or killed, with their members and retained messages.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 3
all="s1 s2 s3"
for h in $all; do node $h "emqx@$h.emqx.io"; start $h; done
says "Join the cluster successfully." ctl s1 cluster join emqx@s2.emqx.io
says "Join the cluster successfully." ctl s3 cluster join emqx@s1.emqx.io
whole=$(status emqx@s1.emqx.io emqx@s2.emqx.io emqx@s3.emqx.io)
all_see "$all" "$whole"
for h in $all; do retain $h "r/$h" "$h"; done
for h in $all; do for r in $all; do until_ok 10 has_retained $h "r/$r" "$r"; done; done

end=stop
for order in "s1 s2 s3" "s1 s3 s2" "s2 s1 s3" "s2 s3 s1" "s3 s1 s2" "s3 s2 s1"; do
	echo "-- $end all, start $order"
	for h in $all; do $end $h; done
	first=${order%% *}
	start "$first"
	# It serves at once, with all retained messages, although the others are away.
	for r in $all; do until_ok 5 has_retained "$first" "r/$r" "$r"; done
	for h in ${order#* }; do start $h; done
	all_see "$all" "$whole"
	arrives "$first" $all
	[[ $end == stop ]] && end=kill9 || end=stop
done
