# shellcheck shell=bash
# Sourced by test.sh: what the API and its metrics are tested with. Kept in target/api and with the services.

api_schemathesis=4.32.5

# Installs schemathesis, which asks the API for everything that its OpenAPI document has, and Prometheus' promtool.
api_install() {
    local venv=$PWD/target/api/venv stamp
    stamp=$venv/installed
    if [ "$(cat "$stamp" 2>/dev/null)" != "$api_schemathesis" ]; then
        echo "installing schemathesis $api_schemathesis (pip)"
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$api_schemathesis"
        printf '%s' "$api_schemathesis" >"$stamp"
    fi
    export WASMILL_TEST_SCHEMATHESIS=$venv/bin/schemathesis
    mkdir -p "$SERVICES_LOGS"
    if services_package promtool prometheus; then
        export WASMILL_TEST_PROMTOOL=required
    else
        printf '\n*** the alert rules are NOT TESTED, see above ***\n\n' >&2
    fi
}
