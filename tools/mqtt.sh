# The smallest MQTT 3.1.1 client: bash alone. For showing that a message arrives, where no client is installed.
# Sourced. Client ids, topics and payloads up to 50 bytes.

mqtt_str() { printf '\\x00\\x%02x%s' "${#1}" "$1"; }

# mqtt_open PORT ID : connects to 127.0.0.1; the descriptor is in mqtt_fd.
mqtt_open() {
	exec {mqtt_fd}<>"/dev/tcp/127.0.0.1/$1" || return 1
	printf %b "\\x10\\x$(printf %02x $((12 + ${#2})))$(mqtt_str MQTT)\\x04\\x02\\x00\\x3c$(mqtt_str "$2")" >&"$mqtt_fd"
	[[ $(mqtt_read 4 "$mqtt_fd") == 20020000 ]]
}

# mqtt_read N FD : N bytes as hex, within 10 s.
mqtt_read() { timeout 10 head -c "$1" <&"$2" | od -An -tx1 | tr -d ' \n'; }

# mqtt_subscribe FD FILTER : QoS 0, waits for the SUBACK.
mqtt_subscribe() {
	printf %b "\\x82\\x$(printf %02x $((5 + ${#2})))\\x00\\x01$(mqtt_str "$2")\\x00" >&"$1"
	[[ $(mqtt_read 5 "$1") == 9003000100 ]]
}

# mqtt_publish FD TOPIC PAYLOAD : QoS 0.
mqtt_publish() {
	printf %b "\\x30\\x$(printf %02x $((2 + ${#2} + ${#3})))$(mqtt_str "$2")$3" >&"$1"
}

# mqtt_receive FD : prints "TOPIC PAYLOAD" of the next PUBLISH, which is one of QoS 0.
mqtt_receive() {
	local length topic
	length=$(mqtt_read 2 "$1")
	[[ $length == 30* ]] || return 1
	mqtt_read 1 "$1" >/dev/null
	topic=$((16#$(mqtt_read 1 "$1")))
	length=$((16#${length:2} - 2 - topic))
	printf '%s %s\n' "$(timeout 10 head -c "$topic" <&"$1")" "$(timeout 10 head -c "$length" <&"$1")"
}
