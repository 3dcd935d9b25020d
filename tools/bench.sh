#!/usr/bin/env bash
# The same load on FlockMQ, on Debian's mosquitto and, where it is installed, on FlashMQ, in turn, on this host. Arguments go to
# `emqx_bench compare`.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib.sh
tools/release.sh
$CARGO build --release --locked -p flockmq-bench ${JOBS:+-j "$JOBS"}
# A whole run is written down; a part of one is only shown.
exec "$(target_dir)/release/emqx_bench" compare --ours _rel/emqx --peer mosquitto $(command -v flashmq >/dev/null && echo --peer flashmq) --peer relay ${ONLY:+--only "$ONLY"} ${ROUNDS:+--rounds "$ROUNDS"} \
	$([[ -n ${ONLY:-} ]] || echo --out docs/benchmarks.md) "$@"
