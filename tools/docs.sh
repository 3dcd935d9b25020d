#!/usr/bin/env bash
# Writes the reference pages that are made from tables. With --check it only tells whether they are fresh.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib.sh
if [[ ${1:-} == --check ]]; then
	$CARGO test --quiet --locked -p flockmq-server --lib reference
else
	UPDATE=1 $CARGO test --quiet --locked -p flockmq-server --lib reference
fi
