#!/bin/sh
# Installs what the whole-binary tests need and is not there yet: Python packages, Jaeger's published
# interfaces, Node packages, Chromium. Safe to run again; takes no time when everything is there.
set -eu
tests=$(cd "$(dirname "$0")" && pwd)
tools=${CARGO_TARGET_DIR:-$tests/../target}/test-tools
mkdir -p "$tools"

fail() {
    echo "tests/setup.sh: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "need root or sudo for: $*"
    fi
}

apt_install() {
    command -v apt-get >/dev/null || fail "install $* by hand: this system has no apt-get"
    echo "tests/setup.sh: installing $* with apt-get"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# True when the stamp of a tool says that it was made from just these files.
is_current() {
    [ -f "$tools/$1.stamp" ] && [ "$(cat "$tools/$1.stamp")" = "$2" ]
}

command -v node >/dev/null || fail "Node.js 20 or later is needed: https://nodejs.org"
command -v python3 >/dev/null || apt_install python3 python3-venv
python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv

python=$(cksum <"$tests/apps/requirements.txt")-$(python3 -V)
if ! is_current python "$python" || [ ! -x "$tools/python/bin/python" ]; then
    echo "tests/setup.sh: installing Python packages into $tools/python"
    rm -rf "$tools/python"
    python3 -m venv "$tools/python"
    "$tools/python/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$tests/apps/requirements.txt"
    echo "$python" >"$tools/python.stamp"
fi

# The interfaces that Jaeger publishes, for a client made from them.
jaeger=github.com/jaegertracing/jaeger-idl@v0.14.0
if ! is_current jaeger-idl "$jaeger" || [ ! -d "$tools/jaeger-idl" ]; then
    command -v go >/dev/null || apt_install golang-go
    echo "tests/setup.sh: downloading $jaeger into $tools/jaeger-idl"
    folder=$(cd "$tools" && go mod download -json "$jaeger" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
    [ -n "$folder" ] || fail "$jaeger was not downloaded"
    rm -rf "$tools/jaeger-idl"
    cp -R "$folder/proto" "$tools/jaeger-idl"
    chmod -R u+w "$tools/jaeger-idl"
    echo "$jaeger" >"$tools/jaeger-idl.stamp"
fi

node=$(cksum <"$tests/package-lock.json")-$(node -v)
if ! is_current node "$node" || [ ! -d "$tests/node_modules" ]; then
    echo "tests/setup.sh: installing Node packages into $tests/node_modules"
    (cd "$tests" && npm ci --silent --no-audit --no-fund)
    echo "$node" >"$tools/node.stamp"
fi

# A broker of Kafka, which is kept outside of this folder.
"$tests/kafka/setup.sh" >/dev/null

if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null \
    && ! command -v google-chrome >/dev/null; then
    apt_install chromium
fi
