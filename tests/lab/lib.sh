# A network of hosts for one test, and nodes on them. Sourced; `lab N` first.
#
# Hosts s1..sN are network namespaces with addresses and names of their own (net.sh); cli is for clients. Each node is a
# copy of the release in a directory of its own. All of it is gone when the script ends.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tools/lib.sh
no_emqx_variables
: "${TARGET_DIR:=$(target_dir)}"
export LAB=fmq$$
NET=tests/lab/net.sh
DIR=$TARGET_DIR/lab/$$

skip() { echo "$*"; exit 77; }

# lab N : the hosts. Skips, with the reason, where the kernel or the user does not allow network namespaces.
lab() {
	[[ $(id -u) == 0 ]] || skip "needs root to make network namespaces"
	local c
	for c in ip nft unshare; do command -v $c >/dev/null || skip "needs the program $c"; done
	ip netns add "$LAB-try" 2>/dev/null || skip "this kernel or container allows no network namespaces"
	ip netns del "$LAB-try"
	trap end_lab EXIT
	mkdir -p "$DIR"
	$NET up "$1" >/dev/null || skip "no bridge, veth or nftables in this kernel: the hosts could not be made"
}

end_lab() {
	local rc=$? d
	if ((rc != 0 && rc != 77)); then
		for d in "$DIR"/*/log; do
			echo "---- $d"
			tail -q -n 15 "$d"/*.log* 2>/dev/null || true
		done
	fi
	$NET down >/dev/null 2>&1 || true
	rm -rf "$DIR"
	return $rc
}

# node HOST NAME KEY=VALUE... : a copy of the release for the host.
node() {
	local h=$1 name=$2
	shift 2
	make_node "$DIR/$h" "$name" node.cookie=cookie-of-the-lab log.level=info "$@"
}

# on HOST CMD... : in the directory of the host's node, as an operator would be.
on() {
	local h=$1
	shift
	LAB_TIMEOUT=${LAB_TIMEOUT:-60} $NET exec "$h" env -C "$DIR/$h" "$@"
}

# start HOST [NAME=VALUE...] : bin/emqx start, which says that it worked.
start() {
	local h=$1
	shift
	says "is started successfully!" on "$h" env "$@" ./bin/emqx start
}
# pod HOST : the same as in a pod: what the account is given ($K8S_SA) lies where pods have it. Nobody else sees
# the mount.
pod() {
	cat >"$DIR/pod.sh" <<T
set -e
mkdir -p /var/run/secrets
mount -t tmpfs none /var/run/secrets
mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
mount --bind "$K8S_SA" /var/run/secrets/kubernetes.io/serviceaccount
exec ./bin/emqx start
T
	says "is started successfully!" on "$1" unshare -m bash "$DIR/pod.sh"
}
stop() { on "$1" ./bin/emqx stop >/dev/null; }
pid() { on "$1" ./bin/emqx pid; }
kill9() {
	local p
	p=$(pid "$1")
	kill -KILL "$p"
	until_ok 5 gone "$p"
}
ctl() {
	local h=$1
	shift
	on "$h" ./bin/emqx_ctl "$@"
}

fail() { echo "FAILED: $*" >&2; exit 1; }

# prints TEXT CMD... : exactly this text on stdout, exit state 0. `refuses`: the same with exit state 1.
prints() { exactly 0 "$@"; }
refuses() { exactly 1 "$@"; }
exactly() {
	local code=$1 want=$2 got rc=0
	shift 2
	got=$("$@") || rc=$?
	[[ $got == "$want" && $rc == "$code" ]] || fail "$* printed
$got
(exit $rc), not
$want
(exit $code)"
	echo "ok: $*"
}

# says WORDS CMD... : somewhere in what it prints, exit state 0.
says() {
	local words=$1 got rc=0
	shift
	got=$("$@" 2>&1) || rc=$?
	[[ $got == *"$words"* && $rc == 0 ]] || fail "$* printed
$got
(exit $rc), which lacks: $words"
	echo "ok: $*"
}

# status RUNNING... [-- STOPPED...] : the text of `cluster status` with these names.
status() {
	local running=() stopped=() n
	while (($#)) && [[ $1 != -- ]]; do running+=("$1"); shift; done
	(($#)) && shift
	stopped=("$@")
	echo -n "Cluster status: [{running_nodes,[$(quoted_list "${running[@]}")]}"
	((${#stopped[@]})) && echo -n ",
 {stopped_nodes,[$(quoted_list "${stopped[@]}")]}"
	echo "]"
}
quoted_list() {
	printf '%s\n' "$@" | LC_ALL=C sort | while read -r n; do
		if [[ $n =~ ^[a-z][A-Za-z0-9_@]*$ ]]; then echo "$n"; else echo "'$n'"; fi
	done | paste -sd,
}

# all_see "HOST..." "STATUS" : each of the hosts' nodes comes to print that status.
all_see() {
	local h
	for h in $1; do until_ok 30 sees "$h" "$2" || fail "$h does not come to see
$2"; done
	echo "ok: $1 see $2"
}
sees() {
	local got
	got=$(ctl "$1" cluster status 2>&1)
	[[ $got == "$2" ]] || { echo "$1 says: $got"; return 1; }
}

# arrives FROM TO : what a client publishes on FROM reaches a client of TO. Several hosts in TO: each gets it.
arrives() {
	local from=$1 to tag=a/$RANDOM$RANDOM p=()
	shift
	for to in "$@"; do
		on "$to" mosquitto_sub -h "$(mqtt_host "$to")" -t "$tag" -q 1 -C 1 -W 20 >"$DIR/got.$to" &
		p+=($!)
	done
	for to in "$@"; do until_ok 10 routed "$from" "$tag" "$to"; done
	on "$from" mosquitto_pub -h "$(mqtt_host "$from")" -t "$tag" -q 1 -m "from $from"
	wait "${p[@]}" || fail "what was published on $from did not arrive on all of: $*"
	for to in "$@"; do [[ $(cat "$DIR/got.$to") == "from $from" ]] || fail "$to got $(cat "$DIR/got.$to")"; done
	echo "ok: $from reaches $*"
}
routed() { ctl "$1" routes show "$2" | grep -qxF "$2 -> $(name_of "$3")"; }
name_of() { sed -n 's/^node\.name *= *//p' "$DIR/$1/etc/emqx.conf" | tail -n 1; }
mqtt_host() { echo "${MQTT_HOST:-127.0.0.1}"; }

# retained HOST TOPIC : the payload, or nothing within a second.
retained() { on "$1" mosquitto_sub -h "$(mqtt_host)" -t "$2" -C 1 -W 1 2>/dev/null || true; }
retain() { on "$1" mosquitto_pub -h "$(mqtt_host)" -t "$2" -q 1 -r -m "$3"; }
has_retained() { local got; got=$(retained "$1" "$2"); [[ $got == "$3" ]] || { echo "$1 has $2 = $got"; return 1; }; }
