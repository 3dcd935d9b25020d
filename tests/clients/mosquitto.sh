#!/usr/bin/env bash
# Test: mosquitto_pub and mosquitto_sub, 3.1, 3.1.1 and 5, published on B and received on A.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"; [[ -n ${BROKERS:-} ]] || end' EXIT
run=$$

pub() { mosquitto_pub -h "$(host "$B")" -p "$(port "$B")" "$@"; }
sub() { mosquitto_sub -W 20 -h "$(host "$A")" -p "$(port "$A")" "$@"; }

# listen FILE ARGS... : a subscriber in the background, ready when a probe on its own topic has come through.
listen() {
	local file=$1 ready=ready/$run/$RANDOM i
	shift
	: >"$file"
	mosquitto_sub -W 60 -h "$(host "$A")" -p "$(port "$A")" -t "$ready" "$@" >"$file" 2>&1 &
	listener=$!
	for ((i = 0; i < 200; i++)); do
		pub -t "$ready" -m ready
		grep -q ready "$file" && return 0
		sleep 0.05
	done
	die "the subscriber did not get ready: $(cat "$file")"
}

# connected PID : it has a TCP connection.
connected() { ls -l "/proc/$1/fd" | grep -q socket && sleep 0.2; }

# retained VERSION : a new subscriber on A gets it, marked.
retained() { [[ $(sub -V "$1" -W 1 -t "r/$run" -C 1 -F '%r %p') == "1 kept" ]]; }

for v in mqttv31 mqttv311 mqttv5; do
	for qos in 0 1 2; do
		echo "-- $v QoS $qos"
		listen "$tmp/out" -V $v -q $qos -t "c/$run/#" -v
		routed "c/$run/#"
		for m in one two three; do pub -V $v -q $qos -t "c/$run/x" -m $m; done
		until_ok 10 grep -q "x three" "$tmp/out"
		kill "$listener"; wait "$listener" || true
		diff <(grep -v ready "$tmp/out") <(printf "c/$run/x %s\n" one two three) || die "not what was published"
	done

	echo "-- $v retained"
	pub -V $v -q 1 -r -t "r/$run" -m kept
	# The other node has it some milliseconds after the PUBACK.
	until_ok 10 retained $v || die "the retained message did not come"
	pub -V $v -q 1 -r -n -t "r/$run"

	echo "-- $v persistent session"
	kept=(-V $v -i "kept-$run-$v" -c -q 1 -t "q/$run")
	[[ $v == mqttv5 ]] && kept+=(-x 600)
	sub "${kept[@]}" -E
	routed "q/$run"
	for m in 1 2 3; do pub -V $v -q 1 -t "q/$run" -m $m; done
	[[ $(sub "${kept[@]}" -C 3 | tr '\n' ' ') == "1 2 3 " ]] || die "the session's queue did not come in order"
	sub -V $v -i "kept-$run-$v" -q 0 -t "none/$run" -E

	echo "-- $v will"
	listen "$tmp/out" -V $v -q 1 -t "w/$run/$v" -v
	routed "w/$run/$v"
	mosquitto_sub -h "$(host "$B")" -p "$(port "$B")" -V $v -t "none/$run" --will-topic "w/$run/$v" --will-payload gone --will-qos 1 &
	dying=$!
	until_ok 10 connected "$dying"
	kill -KILL "$dying"; wait "$dying" 2>/dev/null || true
	until_ok 10 grep -q gone "$tmp/out"
	kill "$listener"; wait "$listener" || true
done

echo "-- properties of 5.0"
listen "$tmp/out" -V mqttv5 -q 1 -t "p/$run" -F '%t|%p|%C|%R|%D|%P'
routed "p/$run"
pub -V mqttv5 -q 1 -t "p/$run" -m x -D publish content-type text/plain -D publish response-topic "a/$run" \
	-D publish correlation-data c1 -D publish user-property k v
until_ok 10 grep -q "p/$run" "$tmp/out"
kill "$listener"; wait "$listener" || true
[[ $(grep "^p/" "$tmp/out") == "p/$run|x|text/plain|a/$run|c1|k:v" ]] || { cat "$tmp/out"; die "properties changed on the way"; }

echo "-- request and response"
mosquitto_rr -h "$(host "$A")" -p "$(port "$A")" -V mqttv5 -q 1 -t "ask/$run" -e "answer/$run" -m question -W 15 >"$tmp/rr" &
asker=$!
listen "$tmp/out" -V mqttv5 -q 1 -t "ask/$run" -F '%R %p'
# The request may have come before the listener was there; the asker is told anyhow.
for ((i = 0; i < 100; i++)); do
	[[ -d /proc/$asker ]] || break
	pub -V mqttv5 -q 1 -t "answer/$run" -m answer
	sleep 0.05
done
wait "$asker"
[[ $(cat "$tmp/rr") == answer ]] || die "no answer"
kill "$listener"; wait "$listener" || true

echo "-- shared subscription"
listen "$tmp/one" -V mqttv5 -q 1 -t "\$share/g/s/$run"; one=$listener
listen "$tmp/two" -V mqttv5 -q 1 -t "\$share/g/s/$run"; two=$listener
routed "s/$run"
for m in 1 2 3 4 5 6 7 8; do pub -q 1 -t "s/$run" -m "job$m"; done
all() { [[ $(grep -h job "$tmp/one" "$tmp/two" | sort | tr '\n' ' ') == "job1 job2 job3 job4 job5 job6 job7 job8 " ]]; }
until_ok 10 all
kill "$one" "$two"; wait "$one" "$two" || true
