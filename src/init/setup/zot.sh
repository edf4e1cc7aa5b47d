#!/usr/bin/env bash
# Writes a configuration with which zot caches on demand. Written by `pullthrough init zot --setup`.
# Add TLS and logins to it. Check it with `zot verify FILE`, and start zot with `zot serve FILE`.
set -euo pipefail

CONFIG=${CONFIG:-zot.json}
STORAGE=${STORAGE:-/var/lib/zot}

# docker2s2 allows Docker's image format. A converted image would have another digest.
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
