# What the scripts of this folder share. Sourced from the root of the project.

: "${CARGO:=cargo}"

say() { echo "== $*"; }
die() { echo "${0##*/}: $*" >&2; exit 1; }

# quiet WHY CMD... : shows the command's output only when it fails, after the reason in words.
quiet() {
	local why=$1 out
	shift
	out=$(mktemp)
	if ! "$@" >"$out" 2>&1 </dev/null; then
		tail -n 30 "$out" >&2
		rm -f "$out"
		die "$why; is the network there?"
	fi
	rm -f "$out"
}

# Where cargo builds: CARGO_TARGET_DIR, cargo's own settings, or ./target.
target_dir() {
	$CARGO metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# The python3 that has paho-mqtt: the first one on the path, or Debian's.
python_with_paho() {
	local p
	for p in python3 /usr/bin/python3; do
		"$p" -c 'import paho.mqtt.client' 2>/dev/null && { echo "$p"; return 0; }
	done
	return 1
}

# until_ok SECONDS CMD... : tries until it succeeds; the last failure's output is shown.
until_ok() {
	local end=$((SECONDS + $1)) out
	shift
	while ! out=$("$@" 2>&1); do
		if ((SECONDS >= end)); then echo "$out" >&2; return 1; fi
		sleep 0.05
	done
}
