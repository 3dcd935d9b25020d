#!/usr/bin/env bash
# Test: paho-mqtt for Python, 3.1, 3.1.1 and 5.0.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
"$(python_with_paho)" tests/clients/paho_python.py "$A" "$B"
