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

# Python packages in a folder of their own.
python_packages() {
    stamp=$(cksum <"$2")-$(python3 -V)
    if ! is_current "$1" "$stamp" || [ ! -x "$tools/$1/bin/python" ]; then
        echo "tests/setup.sh: installing Python packages into $tools/$1"
        rm -rf "${tools:?}/$1"
        python3 -m venv "$tools/$1"
        "$tools/$1/bin/python" -m pip install --quiet --disable-pip-version-check \
            --requirement "$2"
        echo "$stamp" >"$tools/$1.stamp"
    fi
}
python_packages python "$tests/apps/requirements.txt"
# Clients of old need libraries of old.
python_packages python-legacy "$tests/apps/legacy/requirements.txt"

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

# Node packages beside their list.
node_packages() {
    stamp=$(cksum <"$2/package-lock.json")-$(node -v)
    if ! is_current "$1" "$stamp" || [ ! -d "$2/node_modules" ]; then
        echo "tests/setup.sh: installing Node packages into $2/node_modules"
        (cd "$2" && npm ci --silent --no-audit --no-fund)
        echo "$stamp" >"$tools/$1.stamp"
    fi
}
node_packages node "$tests"
node_packages node-legacy "$tests/apps/legacy"

# A broker of Kafka, which is kept outside of this folder.
"$tests/kafka/setup.sh" >/dev/null

if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null \
    && ! command -v google-chrome >/dev/null; then
    apt_install chromium
fi
