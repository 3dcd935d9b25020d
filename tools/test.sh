#!/usr/bin/env bash
# Runs the tests. Each script under tests/ is one test: exit 0 passed, 77 skipped (its last line says why), else failed.
#
# Usage: tools/test.sh all|rust|release|clients|lab [NAME...]     NAME narrows the scripts: tests/lab/NAME.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib.sh
passed=0 failed=0 skipped=0 failures=()
TARGET_DIR=$(target_dir)
export TARGET_DIR
logs=$TARGET_DIR/test-logs
mkdir -p "$logs"

one() { # SCRIPT [ARGS...]
	local name=${1#tests/} log rc=0 t=$SECONDS
	log=$logs/${name//\//-}.log
	timeout -k 30 "${LIMIT:-400}" "$@" >"$log" 2>&1 </dev/null || rc=$?
	case $rc in
	0) passed=$((passed + 1)); echo "PASS $name ($((SECONDS - t)) s)" ;;
	77) skipped=$((skipped + 1)); echo "SKIP $name: $(tail -n 1 "$log")" ;;
	*)
		failed=$((failed + 1)); failures+=("$name")
		((rc == 124)) && echo "took longer than ${LIMIT:-400} s" >>"$log"
		echo "FAIL $name ($((SECONDS - t)) s); repeat with: tools/test.sh ${name%%[/.]*}"
		tail -n 60 "$log" | sed 's/^/     | /'
		;;
	esac
}

rust() {
	say "units and sockets"
	local rc=0
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run --workspace --locked --no-fail-fast ${JOBS:+-j "$JOBS"} || rc=$?
	else
		cargo test --workspace --locked --no-fail-fast --lib --bins --tests || rc=$?
	fi
	if ((rc == 0)); then passed=$((passed + 1)); else failed=$((failed + 1)); failures+=("units and sockets"); fi
}

release() {
	say "the release"
	one tests/release.sh
}

need_release() { [[ -n ${RELEASE_IS_NEW:-} ]] || { tools/release.sh >"$logs/release.log" 2>&1 || { tail -n 40 "$logs/release.log"; die "make release failed"; }; RELEASE_IS_NEW=1; }; }

scripts() { # FOLDER NAME...
	local folder=$1 f
	shift
	need_release
	if (($#)); then set -- "${@/#/tests/$folder/}"; set -- "${@/%/.sh}"; else set -- tests/"$folder"/*.sh; fi
	for f in "$@"; do
		# A test says in its second line what it tests; what others source or run does not.
		[[ $(sed -n 2p "$f") == "# Test: "* ]] && one "$f"
	done
	return 0
}

untracked() { git ls-files --others --exclude-standard 2>/dev/null || true; }

what=${1:-all}
(($#)) && shift
before=$(untracked)
case $what in
all)
	rust
	need_release
	release
	say "real clients"; scripts clients
	say "several hosts"; scripts lab
	;;
rust) rust ;;
release) release ;;
clients | lab) scripts "$what" "$@" ;;
*) die "usage: tools/test.sh all|rust|release|clients|lab [NAME...]" ;;
esac
if [[ $(untracked) != "$before" ]]; then
	echo "FAIL the tests left untracked files:"
	diff <(echo "$before") <(untracked) || true
	failed=$((failed + 1)); failures+=("untracked files")
fi
((failed == 0)) || printf 'failed: %s\n' "${failures[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
