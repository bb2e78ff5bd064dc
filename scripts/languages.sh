# shellcheck shell=bash
# Sourced by test.sh: what plugins in Python, C and TypeScript are built with, beside Go and Node, which
# tools.sh asks for. Kept in target/languages and plugins/js/node_modules; installed once.

# The versions that the templates name too.
languages_componentize_py=0.25.1
languages_ziglang=0.17.0

# Installs what is not there, and puts it on the PATH.
languages_install() {
    local venv=$PWD/target/languages/venv stamp wanted
    stamp=$venv/installed
    wanted="componentize-py==$languages_componentize_py ziglang==$languages_ziglang"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "installing $wanted (pip)"
        rm -rf "$venv"
        python3 -m venv "$venv"
        # shellcheck disable=SC2086 # two words
        "$venv/bin/pip" install --quiet --disable-pip-version-check $wanted
        printf '%s' "$wanted" >"$stamp"
    fi
    export PATH=$venv/bin:$PATH
    if ! cmp -s plugins/js/package-lock.json plugins/js/node_modules/.installed-lock; then
        echo "installing the packages of plugins/js (npm)"
        (cd plugins/js && npm ci --no-audit --no-fund --silent)
        cp plugins/js/package-lock.json plugins/js/node_modules/.installed-lock
    fi
}
