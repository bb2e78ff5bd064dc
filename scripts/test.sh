#!/usr/bin/env bash
# All tests, against real services: scripts/test.sh [--quick] [arguments of cargo test]
#
# Checks the tools, builds the plugins of every language (scripts/languages.sh) and runs the tests that
# they have, gets a browser for the web page (scripts/page.sh), starts Kafka, MariaDB and a
# MongoDB-protocol server on free loopback ports (scripts/services.sh), runs every test, and stops what
# it started. `--quick` leaves out the other languages, the services, and the crates whose tests need
# them.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
. scripts/services.sh
. scripts/languages.sh
. scripts/page.sh
. scripts/api.sh

quick=no
if [ "${1:-}" = --quick ]; then
    quick=yes
    shift
fi

step() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

step "tools"
tools_need_rust
tools_need_native_build
[ "$quick" = yes ] || tools_need_services
tools_check
rustc --version
cargo --version

step "build wasmill and the plugins"
# With the tests, so that one build of the dependencies serves everything.
cargo test --locked --workspace --no-run
wasmill=${CARGO_TARGET_DIR:-target}/debug/wasmill
"$wasmill" build plugins
"$wasmill" build plugins/misbehaving/poison --out plugins/dist
"$wasmill" build plugins/misbehaving/oracle --out plugins/dist
"$wasmill" build plugins/misbehaving/migrating --out plugins/dist

packages=(--workspace)
if [ "$quick" = no ]; then
    step "plugins in other languages"
    languages_install
    languages_build "$wasmill"
    step "tests in other languages"
    languages_test
    # All of them are there, so none is passed over.
    export WASMILL_TEST_LANGUAGES=all WASMILL_VECTOR_LANGUAGES=rust,go,js,python,c

    step "browser"
    page_install

    step "what the API is tested with"
    api_install

    step "services"
    trap services_stop EXIT
    services_start
else
    packages+=(--exclude wasmill --exclude wasmill-kafka --exclude wasmill-sinks --exclude wasmill-registry)
fi

step "tests"
# Tests against one broker: more at a time make them slow, not quick.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-2}
mkdir -p target
log=target/test.log
result=0
cargo test --locked "${packages[@]}" --no-fail-fast "$@" 2>&1 | tee "$log" || result=$?

summary=$(awk '/^test result:/ { suites++; passed += $4; failed += $6; ignored += $8 }
    END { printf "%d passed, %d failed, %d ignored in %d suites", passed, failed, ignored, suites }' "$log")
printf '\n'
# The secrets that the tests plant have this word in them: host/server/tests/common/secrets.rs.
if grep -n -i -m 5 sesame "$log"; then
    echo "a planted secret is in what the tests printed, $log"
    result=1
fi
if [ "$result" = 0 ]; then
    echo "tests: $summary, $SECONDS s"
else
    grep -E '^test .* \.\.\. FAILED' "$log" || true
    echo "tests FAILED: $summary, $SECONDS s; the output is in $log, the servers' logs are in target/services/logs"
    exit "$result"
fi
