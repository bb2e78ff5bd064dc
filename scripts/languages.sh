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
        # Not `npm ci`: it wants optional packages for other systems in the lock file, which are nowhere.
        (cd plugins/js && npm install --no-audit --no-fund --silent)
        cp plugins/js/package-lock.json plugins/js/node_modules/.installed-lock
    fi
}

# Builds the plugins of every language: plugins/dist/NAME.wasm, and plugins/dist/LANGUAGE/NAME.wasm.
languages_build() {
    local wasmill=$1 language
    for language in go js python c; do
        "$wasmill" build "plugins/$language" --out "plugins/dist/$language"
    done
}

# The tests that SDKs and plugins have in their own languages.
languages_test() {
    local dir
    echo "Rust"
    cargo test --locked --quiet --manifest-path plugins/Cargo.toml --workspace --exclude bench_json --exclude bench_temperature
    echo "Go"
    (cd plugins/sdk/go && go vet -unsafeptr=false ./... && go test ./...)
    for dir in plugins/go/*/; do (cd "$dir" && go vet . && go test .); done
    echo "JavaScript"
    (cd plugins/js && npm run --silent check && npm test --silent)
    echo "Python"
    (cd plugins/sdk/python && PYTHONPATH=. python3 -m unittest discover -s tests)
    for dir in plugins/python/*/; do
        [ -e "$dir/pyproject.toml" ] || continue
        (cd "$dir" && PYTHONPATH=../../sdk/python python3 -m unittest)
    done
    (cd plugins/python && PYTHONPATH=../sdk/python python3 -m unittest test_vectors.py)
    echo "C"
    make --silent -C plugins/sdk/c/test test
    make --silent -C plugins/c test
    echo "bindings"
    cargo run --locked --quiet --manifest-path plugins/sdk/bindings/Cargo.toml -- --check
}
