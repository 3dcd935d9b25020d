#!/usr/bin/env bash
# Test: the Eclipse Paho C client, 3.1, 3.1.1 and 5.0.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
mkdir -p "$TARGET_DIR/clients"
cc -Wall -Werror -O1 -o "$TARGET_DIR/clients/paho_c" tests/clients/paho_c.c -lpaho-mqtt3c
timeout 120 "$TARGET_DIR/clients/paho_c" "$A" "$B"
