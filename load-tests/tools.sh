#!/usr/bin/env bash
# Installs what the race needs beside what the tests do (tests/tools/install.sh): nginx, HAProxy and
# valgrind, from Debian. What is there already is left alone.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/usr/local/sbin"

missing=()
for package in nginx haproxy valgrind; do
  command -v "$package" >/dev/null || missing+=("$package")
done
[ "${#missing[@]}" -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "tools: Debian packages: ${missing[*]}"
  apt-get update -qq
  # Debian starts a server when it is installed; these shall only be there.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "tools: missing: ${missing[*]}; their rows will say so. On Debian: sudo apt-get install ${missing[*]}" >&2
fi
