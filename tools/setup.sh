#!/usr/bin/env bash
# Installs what a verb needs and this machine lacks, by package name only. What is there already is left alone.
#
# Usage: tools/setup.sh check|rust|clients|lab|bench|test
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib.sh

# apt NAME... : Debian packages, as root.
apt_updated=
apt() {
	local p missing=()
	for p in "$@"; do dpkg -s "$p" 2>/dev/null | grep -q '^Status: install ok' || missing+=("$p"); done
	((${#missing[@]})) || return 0
	command -v apt-get >/dev/null || die "please install: ${missing[*]} (this machine has no apt-get to do it)"
	[[ $(id -u) == 0 ]] || die "please run as root, or install: apt-get install ${missing[*]}"
	say "installing ${missing[*]}"
	if [[ -z $apt_updated ]]; then
		quiet "the package lists could not be fetched (apt-get update)" apt-get update
		apt_updated=1
	fi
	DEBIAN_FRONTEND=noninteractive quiet "apt-get could not install ${missing[*]}" \
		apt-get install -y --no-install-recommends "${missing[@]}"
}

# A broker that a package started is none of ours, and would keep port 1883.
mosquitto_broker() {
	command -v mosquitto >/dev/null && return 0
	[[ -x /usr/sbin/mosquitto ]] && return 0
	apt mosquitto
	if [[ -d /run/systemd/system ]]; then systemctl disable --now mosquitto >/dev/null 2>&1 || true; fi
}

deny() {
	cargo deny --version >/dev/null 2>&1 && return 0
	say "installing cargo-deny (some minutes, once)"
	quiet "cargo could not install cargo-deny" cargo install cargo-deny --locked
}

clients() {
	command -v mosquitto_pub >/dev/null || apt mosquitto-clients
	python_with_paho >/dev/null || apt python3-paho-mqtt
	python_with_paho >/dev/null || die "no python3 with paho-mqtt, although the package is installed"
	[[ -e /usr/include/MQTTClient.h ]] || apt libpaho-mqtt-dev
	command -v node >/dev/null && command -v npm >/dev/null || apt nodejs npm
	local js
	js=$(target_dir)/clients/js
	if [[ ! -d $js/node_modules/mqtt ]]; then
		say "installing mqtt.js"
		mkdir -p "$js"
		quiet "npm could not install mqtt" npm install --prefix "$js" --no-package-lock --no-save --no-audit --no-fund mqtt
	fi
}

lab() {
	local c
	for c in epmd:erlang-base etcd:etcd-server etcdctl:etcd-client curl:curl dig:bind9-dnsutils ip:iproute2 nft:nftables iptables:iptables unshare:util-linux pgrep:procps ping:iputils-ping openssl:openssl python3:python3; do
		command -v "${c%%:*}" >/dev/null || apt "${c#*:}"
	done
	# A server that a package starts is none of ours: only the program is wanted.
	[[ -x /usr/sbin/named ]] || { apt bind9; stop_service named; }
	stop_service etcd
}

# stop_service NAME : where a package has started it just now.
stop_service() {
	if [[ -d /run/systemd/system ]]; then systemctl disable --now "$1" >/dev/null 2>&1 || true; fi
}

case ${1:-} in
check) deny ;;
rust) command -v openssl >/dev/null || apt openssl ;;
clients) clients ;;
lab) lab ;;
bench)
	mosquitto_broker
	command -v valgrind >/dev/null || apt valgrind
	;;
test) clients; lab ;;
*) die "usage: tools/setup.sh check|rust|clients|lab|bench|test" ;;
esac
