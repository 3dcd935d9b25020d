#!/usr/bin/env bash
# Test: the release can be moved and copied; `make cluster` works, works again, and `make cluster-stop` leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib.sh
no_emqx_variables
fail() { echo "FAILED: $*" >&2; exit 1; }
dir=$(mktemp -d)
end() { end_node "$dir/moved here"; tools/cluster.sh stop >/dev/null 2>&1 || true; rm -rf "$dir"; }
trap end EXIT
size=$(stat -c %s _rel/emqx/bin/emqx)
((size < 30000000)) || fail "the program has $size bytes"
for d in bin etc data log; do [[ -d _rel/emqx/$d ]] || fail "no _rel/emqx/$d"; done
[[ -z $(ldd _rel/emqx/bin/emqx | grep -vE 'linux-vdso|libc\.|libm\.|libgcc_s|libpthread|libdl|librt|ld-linux') ]] || fail "it needs more than libc: $(ldd _rel/emqx/bin/emqx)"

echo "-- moved, under a path with a blank"
make_node "$dir/made" emqx23@127.0.0.1 listener.tcp.external=127.0.0.1:18995 listener.tcp.internal=127.0.0.1:18996 \
	listener.ssl.external=127.0.0.1:18997 listener.ws.external=127.0.0.1:18998 listener.wss.external=127.0.0.1:18999
mv "$dir/made" "$dir/moved here"
(cd / && "$dir/moved here/bin/emqx" start | grep -q "is started successfully!") || fail "it does not start"
"$dir/moved here/bin/emqx_ctl" status | grep -qF "Node 'emqx23@127.0.0.1'" || fail "no status"
(cd "$dir" && "moved here/bin/emqx" stop | grep -qx ok) || fail "it does not stop"
rss() { awk '/VmRSS/{print $2}' "/proc/$1/status"; }

echo "-- make cluster, twice"
for i in 1 2; do
	make cluster >"$dir/said" 2>&1 || { cat "$dir/said"; fail "make cluster"; }
	grep -qxF "Cluster status: [{running_nodes,['emqx1@127.0.0.1','emqx2@127.0.0.1','emqx3@127.0.0.1']}]" "$dir/said" || { cat "$dir/said"; fail "no status"; }
	grep -q "arrived on node 1: hello/world from node 3" "$dir/said" || { cat "$dir/said"; fail "no message"; }
done
pids=()
for n in 1 2 3; do
	pids+=("$(_rel/cluster/$n/bin/emqx pid)")
	echo "node $n: $(rss "${pids[-1]}") kB resident"
done
echo "-- a release does not touch a node's data or what was edited"
retained=$(_rel/cluster/2/bin/emqx_ctl cluster status)
echo "## edited" >>_rel/emqx/etc/acl.conf
tools/release.sh >/dev/null
grep -q "## edited" _rel/emqx/etc/acl.conf || fail "an edited file was overwritten"
cp release/etc/acl.conf _rel/emqx/etc/acl.conf
[[ $(_rel/cluster/2/bin/emqx_ctl cluster status) == "$retained" ]] || fail "the cluster changed"

echo "-- make cluster-stop"
make cluster-stop >/dev/null
for p in "${pids[@]}"; do gone "$p" || fail "make cluster-stop left a node running"; done
make cluster-stop >/dev/null || fail "a second stop fails"
