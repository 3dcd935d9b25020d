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

# Nothing of the caller's environment names or configures the nodes that a script makes.
no_emqx_variables() {
	local v
	unset WITH_EPMD
	while read -r v; do unset "$v"; done < <(compgen -e | grep '^EMQX_' || true)
}

# set_key FILE KEY VALUE : replaces the active line of the key, or adds one.
set_key() {
	local k=${2//./\\.}
	if grep -q "^$k *=" "$1"; then sed -i "s|^$k *=.*|$2 = $3|" "$1"; else echo "$2 = $3" >>"$1"; fi
}

# make_node DIR NAME KEY=VALUE... : a copy of the release with these settings.
make_node() {
	local to=$1 kv
	mkdir -p "$to/data" "$to/log"
	cp -R _rel/emqx/bin _rel/emqx/etc "$to/"
	set_key "$to/etc/emqx.conf" node.name "$2"
	shift 2
	for kv in "$@"; do set_key "$to/etc/emqx.conf" "${kv%%=*}" "${kv#*=}"; done
}

# end_node DIR : stops the node of that directory, and kills it when it does not end.
end_node() {
	local pid
	pid=$("$1/bin/emqx" pid 2>/dev/null) || return 0
	"$1/bin/emqx" stop >/dev/null 2>&1 || true
	until_ok 15 gone "$pid" || kill -KILL "$pid"
}

# gone PID : it has ended. A zombie has.
gone() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
	[[ ${stat##*) } == Z* ]] || { echo "pid $1 is still there"; return 1; }
}
