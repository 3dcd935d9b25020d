#!/usr/bin/env bash
# Builds the release directory _rel/emqx. It can be moved and copied; a copy is a second node.
#
# What a node wrote (data/, log/) and what a user changed in etc/ is never overwritten: a file of etc/ is
# renewed only while it is still what the release put there (a copy of that is kept in _rel/.etc).
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib.sh

$CARGO build --release --locked -p flockmq-server ${JOBS:+-j "$JOBS"}
built=$(target_dir)/release/emqx
out=_rel/emqx
mkdir -p $out/{bin,etc,data,log} _rel/.etc

# By rename, so that a running node keeps its old program.
cp "$built" $out/bin/.emqx.new
chmod 755 $out/bin/.emqx.new
mv -f $out/bin/.emqx.new $out/bin/emqx
ln -sfn emqx $out/bin/emqx_ctl

(cd release/etc && find . -type f) | while read -r f; do
	f=${f#./} new=release/etc/${f#./} have=$out/etc/${f#./} was=_rel/.etc/${f#./}
	mkdir -p "$(dirname "$have")" "$(dirname "$was")"
	if [[ ! -e $have ]] || cmp -s "$have" "$was"; then
		cp "$new" "$have"
	elif ! cmp -s "$have" "$new"; then
		echo "kept your $have (the release's is $new)"
	fi
	cp "$new" "$was"
done
echo "$PWD/$out"
