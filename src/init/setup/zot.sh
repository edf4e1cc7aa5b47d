#!/usr/bin/env bash
# Writes a configuration for zot, which then caches on demand. Written by `pullthrough init zot --setup`.
# `zot verify FILE` checks it, `zot serve FILE` goes by it. Put TLS and logins into it as your other registries have them.
set -euo pipefail

CONFIG=${CONFIG:-zot.json}
STORAGE=${STORAGE:-/var/lib/zot}

# Images keep their digest only if they keep their format, so that of Docker is let in.
cat >"$CONFIG" <<JSON
{
  "distSpecVersion": "1.1.1",
  "storage": {"rootDirectory": "$STORAGE", "gc": true},
  "http": {"address": "0.0.0.0", "port": "@PORT@", "compat": ["docker2s2"]},
  "log": {"level": "info"},
  "extensions": {
    "sync": {
      "enable": true,
      "registries": [
@UPSTREAMS@
      ]
    }
  }
}
JSON
echo "$CONFIG is written"
