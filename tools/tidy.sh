#!/usr/bin/env bash
# The layout holds: arrows between crates, purity, every file in a module tree, fresh reference pages, nothing untracked.
# Reads only. Prints every fault, then fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib.sh
faults=0
fault() { echo "tidy: $*"; faults=$((faults + 1)); }

# Arrows: crate → the crates of ours that it may use. A new crate needs a line here.
arrows='
mqtt:
cluster:
store:
raft:
broker: mqtt cluster
server: mqtt cluster broker store raft
sim: mqtt cluster broker raft
bench: mqtt cluster broker store server
'
for dir in crates/*/; do
	crate=$(basename "$dir")
	row=$(grep "^$crate:" <<<"$arrows") || { fault "crate $crate has no row of arrows in tools/tidy.sh"; continue; }
	# Only what the product uses: tests may look at anything.
	uses=$($CARGO tree --locked -p "flockmq-$crate" -e normal,build --depth 1 --prefix none |
		sed -n '2,$s/^flockmq-\([a-z]*\) .*/\1/p' | sort -u)
	for u in $uses; do
		[[ " ${row#*:} " == *" $u "* ]] || fault "crate $crate uses $u; allowed:${row#*:}"
	done
done
for crate in mqtt cluster broker store sim bench; do
	! $CARGO tree --locked -p "flockmq-$crate" -e normal --prefix none 2>/dev/null | grep -q '^tokio v' || [[ $crate == bench ]] ||
		fault "crate $crate reaches tokio; only server has it"
done

# Pure crates: no clock, sockets, threads or unsafe code of their own. An address is plain data.
for crate in mqtt cluster broker; do
	grep -q '^#!\[forbid(unsafe_code)\]' crates/$crate/src/lib.rs || fault "crates/$crate/src/lib.rs lacks #![forbid(unsafe_code)]"
	while IFS= read -r line; do fault "not pure: $line"; done < <(
		grep -rnE 'std::(net|thread|fs)\b|time::(Instant|SystemTime)|Instant::now|SystemTime::now' crates/$crate/src --include='*.rs' |
			grep -vE '(^[^:]*/tests?(/|\.rs))|//|std::net::(SocketAddr|IpAddr|\{IpAddr, SocketAddr\})' || true)
done

# Every file of a crate is in its module tree.
while IFS= read -r f; do
	name=$(basename "$f" .rs)
	[[ $name == mod ]] && name=$(basename "$(dirname "$f")")
	case $f in
	*/src/lib.rs | */src/main.rs | */src/bin/*) continue ;;
	esac
	grep -rqE "^\s*(pub(\([a-z]+\))? )?mod $name;" "${f%%/src/*}/src" || fault "$f is in no module tree"
done < <(find crates/*/src -name '*.rs')

# Names that say nothing.
while IFS= read -r f; do fault "a name that says nothing: $f"; done < <(
	git ls-files 'crates/*' | grep -E '/(common|core|utils?|helpers?|types)(\.rs|/)' || true)

# No registry's host, no lock file but cargo's.
while IFS= read -r f; do fault "a lock file: $f"; done < <(git ls-files | grep -E '(package-lock\.json|yarn\.lock|poetry\.lock)$' || true)

for f in $(git ls-files '*.sh' .ci/run); do bash -n "$f" || fault "$f does not parse"; done

tools/docs.sh --check >/dev/null 2>&1 || fault "a reference page is stale: make docs (or the server does not build: tools/docs.sh --check)"

while IFS= read -r f; do fault "untracked: $f (add it, or ignore it)"; done < <(git ls-files --others --exclude-standard)

((faults == 0)) || die "$faults faults"
echo "tidy: the layout holds"
