#!/usr/bin/env bash
# Test: discovery by a Kubernetes API server: EndpointSlices and Endpoints, watched; tokens that rotate; rights, faults, the three kinds of names.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
export K8S_DIR=$TARGET_DIR/lab/k8s$$ IN=svc
lab 3
trap 'rc=$?; rmdir /var/run/secrets 2>/dev/null || true; tests/lab/k8s.sh down >/dev/null 2>&1 || true; (exit $rc); end_lab' EXIT
k8s() { tests/lab/k8s.sh "$@" >/dev/null; }
k8s up fake
eval "$(tests/lab/k8s.sh env)"
ip() { $NET addr "$1"; }
n1=emqx@$(ip s1) n2=emqx@$(ip s2) n3=emqx@$(ip s3)
slice() { # NAME ADDRESS... : an EndpointSlice of the service, all addresses not ready
	local name=$1 a list=()
	shift
	for a in "$@"; do list+=("{\"addresses\":[\"$a\"],\"conditions\":{\"ready\":false}}"); done
	local body="{\"metadata\":{\"name\":\"$name\",\"namespace\":\"default\",\"labels\":{\"kubernetes.io/service-name\":\"emqx\"}},\"addressType\":\"IPv4\",\"endpoints\":[$(IFS=,; echo "${list[*]}")]}"
	k8s curl admin "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/$name" -X PUT -d "$body"
}
by="cluster.discovery=k8s cluster.k8s.apiserver=$K8S_APISERVER cluster.k8s.service_name=emqx cluster.k8s.app_name=emqx cluster.k8s.namespace=default"
node s1 $n1 $by
node s2 $n2 $by
node s3 $n3 $by

echo "-- nothing there yet; then a slice, then another: a watch tells"
pod s1
says "404" ctl s1 cluster discovery
slice emqx-a "$(ip s1)" "$(ip s2)"
pod s2
prints "$(status $n1 $n2)" ctl s2 cluster status
says "EndpointSlices of default/emqx" ctl s2 cluster discovery
slice emqx-b "$(ip s3)"
named() { ctl "$1" cluster discovery | grep -qF "$2"; }
until_ok 5 named s2 "$n3"
pod s3
all_see "s1 s2 s3" "$(status $n1 $n2 $n3)"

echo "-- no right to slices: Endpoints, with addresses that are not ready"
stop s3
rm -rf "$DIR/s3/data"/*
ctl s1 cluster force-leave $n3 >/dev/null
k8s set default only "$(ip s1)" "$(ip s3)!"
set_key "$DIR/s3/etc/emqx.conf" cluster.k8s.service_name only
pod s3
all_see "s1 s2 s3" "$(status $n1 $n2 $n3)"
says "Endpoints of default/only" ctl s3 cluster discovery

echo "-- a token that is not known is said; the new one is read without a restart"
cp "$K8S_SA/token" "$DIR/token"
echo nonsense >"$K8S_SA/token"
stop s3
pod s3
until_ok 15 named s3 401
cp "$DIR/token" "$K8S_SA/token"
until_ok 15 named s3 "$n1"

echo "-- an API server that hangs, and one that answers nonsense: nobody leaves"
for fault in "hang 20" garbage "status 500"; do
	k8s fault $fault
	stop s3
	pod s3
	all_see "s1 s2 s3" "$(status $n1 $n2 $n3)"
done
k8s fault off

echo "-- names of pods"
for h in s1 s2 s3; do stop $h & done
wait
k8s set default named "$(ip s1)=s1" "$(ip s2)=s2"
for h in s1 s2; do
	rm -rf "$DIR/$h"
	node $h emqx@$h.named.default.svc.cluster.local $by cluster.k8s.service_name=named cluster.k8s.address_type=hostname cluster.k8s.suffix=svc.cluster.local
	pod $h
done
until_ok 10 named s1 "'emqx@s2.named.default.svc.cluster.local'"
