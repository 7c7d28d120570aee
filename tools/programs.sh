#!/usr/bin/env bash
# Make sure that programs of others are there, which some tests drive; each comes from the package of its name.
# Usage: tools/programs.sh chromium redis-server ...
set -euo pipefail
PATH="$PATH:/usr/local/sbin:/usr/sbin"  # where servers are, and most users do not look
missing=()
for each in "$@"; do command -v "$each" >/dev/null || missing+=("$each"); done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "These tests need ${missing[*]}: install them with your system's package manager, then try again." >&2
  exit 1
fi
echo "Installing ${missing[*]}."
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
