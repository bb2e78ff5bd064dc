# shellcheck shell=bash
# Sourced by test.sh and demo.sh: what must be installed, and how to get it.

tools_missing=()

# tools_need COMMAND HOW: notes a command that is not there.
tools_need() {
    command -v "$1" >/dev/null || tools_missing+=("$1: $2")
}

# A pinned toolchain with the wasm32 target: by rustup where it is, explicitly, since its automatic
# installation may be switched off; else what cargo there is must be new enough and have the target.
tools_need_rust() {
    local channel version major minor libs
    channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    if command -v rustup >/dev/null; then
        if ! rustup toolchain list | grep -q "^$channel" ||
            ! rustup target list --installed --toolchain "$channel" | grep -qx wasm32-unknown-unknown; then
            echo "installing Rust $channel with the wasm32-unknown-unknown target (rustup)"
            rustup toolchain install "$channel" --profile minimal --component rustfmt --component clippy \
                --target wasm32-unknown-unknown --no-self-update ||
                tools_missing+=("Rust $channel: rustup could not install it, see above")
        fi
        return 0
    fi
    if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
        tools_missing+=("cargo: install Rust $channel or newer by rustup (https://rustup.rs)")
        return 0
    fi
    version=$(rustc --version | cut -d' ' -f2)
    IFS=. read -r major minor _ <<<"$version"
    if [ "$major" -eq 1 ] && [ "$minor" -lt "$(cut -d. -f2 <<<"$channel")" ]; then
        tools_missing+=("Rust $channel: this is $version; install a newer one by rustup (https://rustup.rs)")
    fi
    libs=$(rustc --print target-libdir --target wasm32-unknown-unknown 2>/dev/null || true)
    if ! compgen -G "$libs/libcore-*.rlib" >/dev/null; then
        tools_missing+=("the Rust target wasm32-unknown-unknown: install Rust by rustup (https://rustup.rs), or your distribution's package of that target's standard library (Debian: libstd-rust-dev-wasm32)")
    fi
}

# librdkafka, zstd, SQLite and OpenSSL are built from source.
tools_need_native_build() {
    tools_need cc "a C compiler (Debian, Ubuntu: apt-get install gcc; macOS: xcode-select --install)"
    tools_need c++ "a C++ compiler (Debian, Ubuntu: apt-get install g++; macOS: xcode-select --install)"
    tools_need make "GNU make (Debian, Ubuntu: apt-get install make)"
    tools_need perl "Perl 5, for OpenSSL's configure (Debian, Ubuntu: apt-get install perl)"
}

# What the services of the tests need; MariaDB, PostgreSQL and the OCI registry are seen to by services.sh.
tools_need_services() {
    local version
    if command -v java >/dev/null; then
        # Not always the first line: the JVM first names options that it took from the environment.
        version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
        [ "${version:-0}" -ge 17 ] ||
            tools_missing+=("java 17: this is ${version:-unknown} (Debian, Ubuntu: apt-get install openjdk-17-jre-headless)")
    else
        tools_missing+=("java: Java 17, for the Kafka broker (Debian, Ubuntu: apt-get install openjdk-17-jre-headless)")
    fi
    tools_need mvn "Maven, which fetches the Kafka broker (Debian, Ubuntu: apt-get install maven)"
    tools_need go "Go 1.26 or newer, for plugins in Go and the MongoDB-protocol server (https://go.dev/dl)"
    tools_need node "Node 20, for plugins in JavaScript and the tests of the web page (Debian, Ubuntu: apt-get install nodejs)"
    tools_need npm "npm, for plugins in JavaScript and the tests of the web page (Debian, Ubuntu: apt-get install npm)"
    tools_need python3 "Python 3.11 with venv, for plugins in Python and C (Debian, Ubuntu: apt-get install python3-venv)"
}

# Says all that is missing at once.
tools_check() {
    local each
    [ ${#tools_missing[@]} -eq 0 ] && return 0
    echo "missing:" >&2
    for each in "${tools_missing[@]}"; do echo "  $each" >&2; done
    return 1
}
