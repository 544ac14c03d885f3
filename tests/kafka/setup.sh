#!/bin/sh
# Installs a real broker for the tests: a Java runtime and Maven by the system's package manager where
# they are missing, Kafka's libraries by Maven, held against their checksums. Prints the folder of the
# libraries, which is kept outside of the build's. Safe to run again, and by several at once.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
version=$(cksum <"$here/jars.sha256" | cut -d ' ' -f 1)
cache=${SPANFALL_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/spanfall-tests}
libraries=$cache/kafka-$version

fail() {
    echo "tests/kafka/setup.sh: $*" >&2
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
    echo "tests/kafka/setup.sh: installing $* with apt-get" >&2
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Kafka 4 wants Java 17.
command -v java >/dev/null || apt_install default-jre-headless
java=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
[ "${java:-0}" -ge 17 ] || fail "Java 17 or later is needed; this is ${java:-unknown}"

if [ ! -d "$libraries" ]; then
    command -v mvn >/dev/null || apt_install maven
    mkdir -p "$cache"
    # Made beside it and moved there whole, whoever is first.
    new=$(mktemp -d "$cache/new-XXXXXX")
    trap 'rm -rf "$new"' EXIT
    echo "tests/kafka/setup.sh: downloading Kafka into $libraries" >&2
    mvn --batch-mode --quiet --file "$here/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime "-DoutputDirectory=$new/jars" >&2
    (cd "$new/jars" && sha256sum --check --quiet --strict "$here/jars.sha256") >&2 ||
        fail 'the libraries are not those that were expected'
    found=$(find "$new/jars" -type f | wc -l)
    [ "$found" -eq "$(wc -l <"$here/jars.sha256")" ] || fail 'there are more libraries than expected'
    mv -T "$new/jars" "$libraries" 2>/dev/null || [ -d "$libraries" ] || fail "cannot make $libraries"
fi
echo "$libraries"
