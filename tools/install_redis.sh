#!/usr/bin/env sh
# Installs redis-server, which the tests marked `redis` start; does nothing where it is installed.
set -eu
command -v redis-server >/dev/null && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends redis-server >/dev/null
    exit 0
fi
echo "The tests marked redis need redis-server, 6.2 or newer: install it, for instance with" >&2
echo "  sudo apt-get install redis-server     or     brew install redis" >&2
exit 1
