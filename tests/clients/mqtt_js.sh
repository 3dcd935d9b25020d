#!/usr/bin/env bash
# Test: mqtt.js, 3.1, 3.1.1 and 5.0.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
NODE_PATH=$TARGET_DIR/clients/js/node_modules timeout 120 node tests/clients/mqtt_js.js "$A" "$B"
