#!/usr/bin/env bash
# Test: TLS between nodes (cluster.proto_dist = inet_tls, node.ssl_dist_optfile); strangers are told from members.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lab 4
all="s1 s2 s3 s4"

# authority DIR, certificate AUTHORITY HOST : files under the node's etc/dist.
authority() {
	mkdir -p "$1"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=authority of the lab" \
		-keyout "$1/ca.key" -out "$1/ca.pem" 2>/dev/null
}
certificate() {
	local to=$DIR/$2/etc/dist
	mkdir -p "$to"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2.emqx.io" -keyout "$to/key.pem" -out "$to/csr" 2>/dev/null
	openssl x509 -req -in "$to/csr" -CA "$1/ca.pem" -CAkey "$1/ca.key" -CAcreateserial -days 2 -out "$to/cert.pem" \
		-extfile <(echo "subjectAltName=DNS:$2.emqx.io,IP:$($NET addr "$2")") 2>/dev/null
	cp "$1/ca.pem" "$to/ca.pem"
	cat >"$DIR/$2/etc/ssl_dist.conf" <<-T
	%% As in 4.4: Erlang terms.
	[{server,
	  [{certfile, "etc/dist/cert.pem"},
	   {keyfile, "etc/dist/key.pem"},
	   {cacertfile, "etc/dist/ca.pem"},
	   {verify, verify_peer}, {fail_if_no_peer_cert, true},
	   {secure_renegotiate, true}, {depth, 1}]},
	 {client,
	  [{certfile, "etc/dist/cert.pem"},
	   {keyfile, "etc/dist/key.pem"},
	   {cacertfile, "etc/dist/ca.pem"},
	   {verify, verify_peer},
	   {secure_renegotiate, true}]}].
	T
}

authority "$DIR/ours"
authority "$DIR/theirs"
for h in $all; do
	node $h "emqx@$h.emqx.io" cluster.proto_dist=inet_tls node.ssl_dist_optfile=etc/ssl_dist.conf
	certificate "$DIR/ours" $h
done
certificate "$DIR/theirs" s3
set_key "$DIR/s4/etc/emqx.conf" cluster.proto_dist inet_tcp
for h in $all; do start $h; done

echo "-- members"
on s1 bash -c 'echo | openssl s_client -connect 127.0.0.1:4370 -tls1_3 2>/dev/null | grep -q "BEGIN CERTIFICATE"' || fail "port 4370 speaks no TLS"
prints "Join the cluster successfully.
$(status emqx@s1.emqx.io emqx@s2.emqx.io)" ctl s2 cluster join emqx@s1.emqx.io
all_see "s1 s2" "$(status emqx@s1.emqx.io emqx@s2.emqx.io)"
arrives s1 s2
arrives s2 s1

echo "-- renewed certificates are read without a restart"
for h in s1 s2; do certificate "$DIR/ours" $h; done
$NET reset s1
$NET reset s2
all_see "s1 s2" "$(status emqx@s1.emqx.io emqx@s2.emqx.io)"
arrives s1 s2

echo "-- a certificate of another authority, and no TLS at all"
refuses "Failed to join the cluster: {bad_certificate,'emqx@s1.emqx.io'}" ctl s3 cluster join emqx@s1.emqx.io
! ctl s4 cluster join emqx@s1.emqx.io >"$DIR/said" 2>&1 || fail "a node without TLS joined: $(cat "$DIR/said")"
grep -q "Failed to join the cluster: {" "$DIR/said" || fail "no reason: $(cat "$DIR/said")"
all_see "s1 s2" "$(status emqx@s1.emqx.io emqx@s2.emqx.io)"

echo "-- the doctor names the certificate"
! ctl s3 cluster doctor emqx@s1.emqx.io >"$DIR/said" 2>&1 || fail "the doctor found nothing"
grep -qi certificate "$DIR/said" || fail "the doctor does not speak of the certificate: $(cat "$DIR/said")"

! ctl s4 cluster doctor emqx@s1.emqx.io >"$DIR/said" 2>&1 || fail "the doctor found nothing"
grep -q "it uses TLS, this node does not" "$DIR/said" || fail "no word of TLS there: $(cat "$DIR/said")"
! ctl s1 cluster doctor emqx@s4.emqx.io >"$DIR/said" 2>&1 || fail "the doctor found nothing"
grep -q "this node uses TLS, it does not" "$DIR/said" || fail "no word of TLS here: $(cat "$DIR/said")"

echo "-- a restart finds its peers again"
stop s2
start s2
all_see "s1 s2" "$(status emqx@s1.emqx.io emqx@s2.emqx.io)"
arrives s1 s2
