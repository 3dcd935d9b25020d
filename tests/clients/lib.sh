# Two brokers for a client to talk to: A and B, as HOST:PORT. Sourced.
#
# BROKERS="host:port host:port" names running ones (one broker twice is fine). Else two nodes of the release are
# started, joined, and ended with the script.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tools/lib.sh
no_emqx_variables
: "${TARGET_DIR:=$(target_dir)}"

# ten_ports : the first of ten free ports in a row, held by this script through a lock.
ten_ports() {
	local base i folder=${TMPDIR:-/tmp}/flockmq-test-ports
	mkdir -p "$folder"
	for ((i = 0; i < 2000; i++)); do
		base=$((10000 + ($$ + i) % 2000 * 10))
		exec {ports_lock}>"$folder/$base"
		if flock -n "$ports_lock" && all_free "$base"; then
			ports=$base
			return 0
		fi
		exec {ports_lock}>&-
	done
	die "no ten free ports in a row"
}
all_free() {
	local p
	for ((p = $1; p < $1 + 10; p++)); do
		! grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$p") [0-9A-F:]+ 0A " /proc/net/tcp || return 1
	done
}

if [[ -n ${BROKERS:-} ]]; then
	read -r A B <<<"$BROKERS"
else
	nodes=$TARGET_DIR/clients/nodes-$$
	end() { end_node "$nodes/a"; end_node "$nodes/b"; rm -rf "$nodes"; }
	trap end EXIT
	names=()
	for n in a b; do
		ten_ports
		make_node "$nodes/$n" "$n$((ports + 5 - 4370))@127.0.0.1" node.cookie=cookie-of-the-tests \
			listener.tcp.external="127.0.0.1:$ports" listener.tcp.internal="127.0.0.1:$((ports + 1))" \
			listener.ssl.external="127.0.0.1:$((ports + 2))" listener.ws.external="127.0.0.1:$((ports + 3))" \
			listener.wss.external="127.0.0.1:$((ports + 4))"
		"$nodes/$n/bin/emqx" start
		names+=("$n$((ports + 5 - 4370))@127.0.0.1")
		[[ $n == a ]] && A=127.0.0.1:$ports || B=127.0.0.1:$ports
	done
	"$nodes/b/bin/emqx_ctl" cluster join "${names[0]}"
fi

host() { echo "${1%:*}"; }
port() { echo "${1##*:}"; }

# routed FILTER : waits until B knows that A wants it (SUBACK speaks for A alone).
routed() {
	[[ -n ${BROKERS:-} ]] || until_ok 10 routed_now "$1"
}
routed_now() { "$nodes/b/bin/emqx_ctl" routes show "$1" | grep -qF "$1 -> a"; }
