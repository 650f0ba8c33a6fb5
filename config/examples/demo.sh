#!/usr/bin/env bash
# The demo: builds Weir (unless WEIR_BIN names a built one), runs two tenants and their backends, says what
# to try. Ctrl-C ends all.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' off=$'\e[0m'
else
  bold='' dim='' green='' off=''
fi
say() { printf '%s\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

# What the build needs beside a Rust toolchain, as Debian names it.
command -v cargo >/dev/null || fail "cargo is missing: install a Rust toolchain first (Debian: apt-get install rustup, then rustup default stable)"
missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v make >/dev/null || missing+=(make)
command -v cmake >/dev/null || missing+=(cmake)
command -v curl >/dev/null || missing+=(curl)
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing ${missing[*]} ..."
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
  else
    fail "missing: ${missing[*]}. On Debian: sudo apt-get install ${missing[*]}"
  fi
fi

if [ -n "${WEIR_BIN:-}" ]; then
  weir="$WEIR_BIN"
else
  say "${bold}Building Weir (release; some minutes the first time)${off}"
  cargo build --release --bin weir
  weir="$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/weir"
fi

home="$(mktemp -d)"
pids=()
finish() {
  trap - EXIT INT TERM
  if [ "${#pids[@]}" -gt 0 ]; then
    kill "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
  fi
  rm -rf "$home"
  say ''
  say "All ended; nothing is left."
}
trap finish EXIT
trap 'exit 0' INT TERM

# One request over a raw socket: curl counts neither chunk framing nor what it sends as the wire has it.
cat >"$home/count.sh" <<'COUNT'
sleep 2.2  # so that what was sent before is in another window
request=$'GET /counted HTTP/1.1\r\nhost: shop.acme.test\r\nconnection: close\r\n\r\n'
exec 3<>/dev/tcp/127.0.0.1/8080
printf '%s' "$request" >&3
echo "sent ${#request} bytes, received $(cat <&3 | wc -c)"
COUNT

# The manifests are copied, so that trying an edit changes nothing in the repository.
cp -r config/examples/quickstart "$home/manifests"

backend() { "$weir" echo --listen "127.0.0.1:$1" --name "$2" >"$home/$2.log" 2>&1 & pids+=($!); }
backend 19001 shop
backend 19002 shop-canary
backend 19003 api
backend 19004 web

"$weir" up "$home/manifests" --state-dir "$home/state" --usage-window 2s >"$home/access.log" 2>"$home/weir.log" & up=$!
pids+=("$up")

for _ in $(seq 1 100); do
  kill -0 "$up" 2>/dev/null || { cat "$home/weir.log" >&2; fail "weir up ended; its log is above"; }
  curl -fs -o /dev/null http://127.0.0.1:9901/ready 2>/dev/null \
    && curl -s -o /dev/null http://127.0.0.1:8080/ 2>/dev/null && break
  sleep 0.1
done
curl -s -o /dev/null http://127.0.0.1:8080/ || { cat "$home/weir.log" >&2; fail "weir up did not serve; its log is above"; }

try() { # what it shows, then the command
  say ''
  say "${green}# $1${off}"
  say "$2"
}
say ''
say "${bold}Two tenants are served.${off} In another terminal, try:"
try "whose host it is decides: acme's shop, then globex's site" \
  "curl -s -H 'Host: shop.acme.test' http://127.0.0.1:8080/ ; curl -s -H 'Host: www.globex.test' http://127.0.0.1:8080/"
try "the path decides too: acme's API" \
  "curl -s -H 'Host: shop.acme.test' http://127.0.0.1:8080/api/orders"
try "over TLS, the certificate chosen by name" \
  "curl -sk --resolve shop.acme.test:8443:127.0.0.1 https://shop.acme.test:8443/"
try "a canary: of 100 requests 90 reach shop, 10 shop-canary" \
  "for i in \$(seq 100); do curl -s -H 'Host: shop.acme.test' http://127.0.0.1:8080/ | grep -o '\"name\":\"[a-z-]*\"'; done | sort | uniq -c"
try "globex is on the free plan, 5 requests at once, then one a second: 429 after the fifth; acme feels nothing" \
  "for i in \$(seq 8); do curl -s -o /dev/null -w '%{http_code} ' -H 'Host: www.globex.test' http://127.0.0.1:8080/; done; echo"
try "an edit is in effect at once: send half to the canary, then ask again" \
  "sed -i 's/weight: 90/weight: 50/; s/weight: 10}/weight: 50}/' $home/manifests/acme.yaml"
try "what Weir knows" \
  "$weir status"
try "one request to acme over a raw socket, which counts every byte of it" \
  "bash $home/count.sh"
try "how much did they send? acme's newest window is that request, byte for byte; then all, by tenant" \
  "sleep 4; $weir usage --state-dir $home/state --tenant acme --by window --since 15s --exact; $weir usage --state-dir $home/state"
say ''
say "${dim}Access log: $home/access.log   Weir's log: $home/weir.log   Metrics: http://127.0.0.1:9901/stats/prometheus${off}"
say "${bold}Ctrl-C ends the demo.${off}"
if [ -n "${WEIR_DEMO_ONCE:-}" ]; then exit 0; fi
wait "$up" || { cat "$home/weir.log" >&2; fail "weir up ended; its log is above"; }
