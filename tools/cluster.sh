#!/usr/bin/env bash
# Three nodes on this host, from copies of the release under _rel/cluster/N. Safe to run again.
#
# Usage: tools/cluster.sh start|stop
# Node N is emqxN@127.0.0.1; MQTT on 1883N, TLS 1884N, WebSocket 1885N and 1886N; between nodes 437N.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib.sh
. tools/mqtt.sh
dir=_rel/cluster nodes=(1 2 3)

no_emqx_variables

node() {
	local n=$1 to=$dir/$1
	if [[ ! -d $to ]]; then
		make_node "$to" "emqx$n@127.0.0.1" node.cookie="$(cat $dir/cookie)" \
			listener.tcp.external="127.0.0.1:1883$n" listener.ssl.external="127.0.0.1:1884$n" \
			listener.ws.external="127.0.0.1:1885$n" listener.wss.external="127.0.0.1:1886$n" \
			listener.tcp.internal="127.0.0.1:1887$n"
	elif ! cmp -s _rel/emqx/bin/emqx "$to/bin/emqx"; then
		end_node "$to"
		cp _rel/emqx/bin/emqx "$to/bin/.new" && mv -f "$to/bin/.new" "$to/bin/emqx"
	fi
}

start() {
	[[ -x _rel/emqx/bin/emqx ]] || die "no release yet: make release"
	mkdir -p $dir
	[[ -s $dir/cookie ]] || (umask 077; od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >$dir/cookie)
	local n fd_sub fd_pub got
	for n in "${nodes[@]}"; do node "$n"; done
	for n in "${nodes[@]}"; do
		"$dir/$n/bin/emqx" ping >/dev/null 2>&1 || "$dir/$n/bin/emqx" start
	done
	for n in 2 3; do
		"$dir/$n/bin/emqx_ctl" cluster status | grep -q "'emqx1@127.0.0.1'" && continue
		echo "\$ $dir/$n/bin/emqx_ctl cluster join emqx1@127.0.0.1"
		"$dir/$n/bin/emqx_ctl" cluster join emqx1@127.0.0.1
	done
	until_ok 15 all_running
	echo "\$ $dir/1/bin/emqx_ctl cluster status"
	"$dir/1/bin/emqx_ctl" cluster status

	echo
	mqtt_open 18831 try-sub || die "node 1 does not answer on port 18831"
	fd_sub=$mqtt_fd
	mqtt_open 18833 try-pub || die "node 3 does not answer on port 18833"
	fd_pub=$mqtt_fd
	mqtt_subscribe "$fd_sub" 'hello/#' || die "node 1 did not confirm the subscription"
	until_ok 10 route_on_3
	mqtt_publish "$fd_pub" hello/world "from node 3"
	got=$(mqtt_receive "$fd_sub") || die "the message did not arrive"
	[[ $got == "hello/world from node 3" ]] || die "something else arrived: $got"
	exec {fd_sub}>&- {fd_pub}>&-
	echo "published on node 3, arrived on node 1: $got"
	cat <<-T

	Try next
	  mosquitto_sub -p 18831 -t 'hello/#' -v &
	  mosquitto_pub -p 18833 -t hello/world -m hi
	  $dir/2/bin/emqx_ctl cluster leave
	  $dir/2/bin/emqx_ctl cluster join emqx3@127.0.0.1
	  $dir/3/bin/emqx stop; $dir/1/bin/emqx_ctl cluster status; $dir/3/bin/emqx start
	  $dir/1/bin/emqx_ctl        all commands
	  make cluster-stop          ends the three nodes (their data stays in $dir)
	T
}

all_running() {
	local n
	for n in "${nodes[@]}"; do
		"$dir/$n/bin/emqx_ctl" cluster status |
			grep -qxF "Cluster status: [{running_nodes,['emqx1@127.0.0.1','emqx2@127.0.0.1','emqx3@127.0.0.1']}]" ||
			{ echo "node $n: $("$dir/$n/bin/emqx_ctl" cluster status 2>&1)"; return 1; }
	done
}

route_on_3() { "$dir/3/bin/emqx_ctl" routes show 'hello/#' | grep -qxF 'hello/# -> emqx1@127.0.0.1'; }

stop() {
	local n pid rc=0
	for n in "${nodes[@]}"; do
		[[ -x $dir/$n/bin/emqx ]] || continue
		pid=$("$dir/$n/bin/emqx" pid 2>/dev/null) || continue
		echo "emqx$n@127.0.0.1: $("$dir/$n/bin/emqx" stop 2>&1)"
		until_ok 15 gone "$pid" || { kill -KILL "$pid"; echo "emqx$n@127.0.0.1 (pid $pid) did not end and was killed" >&2; rc=1; }
	done
	return $rc
}

case ${1:-} in
start) start ;;
stop) stop ;;
*) die "usage: tools/cluster.sh start|stop" ;;
esac
