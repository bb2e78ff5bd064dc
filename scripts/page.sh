# shellcheck shell=bash
# Sourced by test.sh: what the tests of the web page need, Chromium and Playwright. Uses services.sh.

# The browser: the one that WASMILL_CHROMIUM names, one that is installed, or Debian's.
page_browser() {
    local name
    if [ -n "${WASMILL_CHROMIUM:-}" ]; then
        [ -x "$WASMILL_CHROMIUM" ] || services_fail "WASMILL_CHROMIUM is $WASMILL_CHROMIUM, which is no program"
        return
    fi
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null; then return 0; fi
    done
    services_package chromium chromium
}

# Makes ready for host/server/tests/page.rs. Where there is no browser and none can be had, the page is passed
# over with a note, unless WASMILL_TEST_PAGE is `required`.
page_install() {
    mkdir -p "$SERVICES_LOGS"
    if page_browser && (cd host/server/ui/tests && npm ci --ignore-scripts --loglevel error) &&
        host/server/ui/vendor/fetch.sh --check; then
        export WASMILL_TEST_PAGE=required
        return 0
    fi
    if [ "${WASMILL_TEST_PAGE:-}" = required ]; then
        echo "the web page cannot be tested, see above" >&2
        return 1
    fi
    printf '\n*** the web page is NOT TESTED, see above; WASMILL_TEST_PAGE=required makes that an error ***\n\n' >&2
}
