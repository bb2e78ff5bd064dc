#!/usr/bin/env bash
# Fetches the libraries of the page as package-lock.json pins them, by version and integrity:
#   vendor/fetch.sh           puts them in place of those that are here
#   vendor/fetch.sh --check   says whether they are what is here
# Building Wasmill needs none of this: the files are in the repository, as their projects released them.
set -euo pipefail
cd "$(dirname "$0")"
command -v npm >/dev/null && command -v node >/dev/null || { echo "npm or Node is missing (Debian, Ubuntu: apt-get install nodejs npm)" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/wasmill-vendor.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp package.json package-lock.json .npmrc "$work/"
(cd "$work" && npm ci --ignore-scripts --loglevel error)
modules=$work/node_modules

result=0
take() {
    if [ "${check:-no}" = no ]; then
        cp "$modules/$1" "$2"
    elif ! cmp -s "$modules/$1" "$2"; then
        echo "vendor/$2 is not what its project released" >&2
        result=1
    fi
}
if [ "${1:-}" = --check ]; then check=yes; fi
take @dagrejs/dagre/dist/dagre.esm.js dagre.esm.js
take @dagrejs/dagre/LICENSE LICENSE-dagre
take @dagrejs/graphlib/LICENSE LICENSE-graphlib
take uplot/dist/uPlot.esm.js uPlot.esm.js
take uplot/dist/uPlot.min.css uPlot.min.css
take uplot/LICENSE LICENSE-uPlot

# The rules of deny.toml hold for what npm brings too, the tests' packages included.
node --input-type=module - package-lock.json ../tests/package-lock.json <<'EOF' || result=1
import { readFileSync } from "node:fs";
const allowed = new Set(readFileSync("../../../../deny.toml", "utf8").match(/^allow = \[(.*?)^\]/ms)[1].match(/"[^"]+"/g).map((one) => one.slice(1, -1)));
for (const file of process.argv.slice(2)) {
  for (const [name, { license }] of Object.entries(JSON.parse(readFileSync(file, "utf8")).packages)) {
    if (name === "" || allowed.has(license)) continue;
    console.error(`${name} in ${file}: the licence ${license} is not one of deny.toml`);
    process.exitCode = 1;
  }
}
EOF
exit "$result"
