#!/bin/sh
# Generates internal/bindings from the contract. `./generate.sh --check` changes nothing and fails when
# the files differ from what would be generated. Needs wit-bindgen 0.63.0
# (`cargo install wit-bindgen-cli --version 0.63.0 --locked`) and gofmt. WIT_BINDGEN names another path to it.
set -eu
cd "$(dirname "$0")"
tool=${WIT_BINDGEN:-wit-bindgen}
case "$("$tool" --version)" in
*" 0.63.0") ;;
*)
	echo "generate.sh: wit-bindgen 0.63.0 is needed, not $("$tool" --version)" >&2
	exit 1
	;;
esac
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$tool" go ../../../wit --world timed-transform --pkg-name wasmill/internal/bindings --out-dir "$out" >"$out/log" 2>&1 ||
	{ cat "$out/log" >&2; exit 1; }
# The bindings' runtime is a copy in this module, see internal/bindings/wit/README.md.
find "$out" -name '*.go' -exec sed -i 's|"go.bytecodealliance.org/pkg/wit/|"wasmill/internal/bindings/wit/|' {} +
# The rewritten imports are to stand in gofmt's order.
gofmt -w "$out"
if [ "${1:-}" = --check ]; then
	diff -r "$out/imports" internal/bindings/imports
	diff -r "$out/exports/wit_exports" internal/bindings/exports/wit_exports
	exit
fi
rm -rf internal/bindings/imports internal/bindings/exports/wit_exports
mkdir -p internal/bindings/exports
cp -r "$out/imports" internal/bindings/imports
cp -r "$out/exports/wit_exports" internal/bindings/exports/wit_exports
