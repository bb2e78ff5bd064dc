#!/usr/bin/env bash
# Counts the words of a text with pipelines/word-count on the embedded log, and checks the counts
# against a recount by tr, sort and uniq. Needs Rust and a C/C++ compiler with make and perl; no
# Kafka and no database.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh

tools_need_rust
tools_need_native_build
tools_check

# WASMILL names a binary that is built already.
wasmill=${WASMILL:-${CARGO_TARGET_DIR:-target}/debug/wasmill}
if [ -z "${WASMILL:-}" ]; then
    echo "building wasmill and its plugins; the first time takes some minutes"
    cargo build --locked -p wasmill
fi
"$wasmill" build plugins

work=$(mktemp -d "${TMPDIR:-/tmp}/wasmill-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo
echo "running pipelines/word-count to the end of its input"
"$wasmill" run pipelines/word-count/pipeline.toml --embedded="$work/log" --until-end

# The topic holds every count that a word ever had. A word's records are in one partition, in
# order, so the last one is its total.
"$wasmill" consume word-counts --embedded="$work/log" --from-beginning --until-end >"$work/topic"
sed -n 's/^.*{"word":"\([^"]*\)","count":\([0-9]*\)}.*$/\1 \2/p' "$work/topic" |
    awk '{ last[$1] = $2 } END { for (word in last) print last[word], word }' |
    LC_ALL=C sort -k1,1nr -k2,2 >"$work/counted"

# The sample is plain ASCII without apostrophes, so a word is a run of letters and digits.
LC_ALL=C tr -cs 'A-Za-z0-9' '\n' <pipelines/word-count/lines.txt | LC_ALL=C tr '[:upper:]' '[:lower:]' | sed '/^$/d' |
    LC_ALL=C sort | uniq -c | awk '{ print $1, $2 }' | LC_ALL=C sort -k1,1nr -k2,2 >"$work/recount"

echo
printf '%-16s %10s %10s\n' word wasmill recount
head -n 12 "$work/recount" | while read -r count word; do
    printf '%-16s %10s %10s\n' "$word" "$(awk -v w="$word" '$2 == w { print $1 }' "$work/counted")" "$count"
done
words=$(awk '{ n += $1 } END { print n + 0 }' "$work/recount")
distinct=$(wc -l <"$work/recount" | tr -d ' ')

echo
if [ "$words" -gt 0 ] && cmp -s "$work/counted" "$work/recount"; then
    echo "equal: all $distinct words, $words in the text, have the same count in both ($SECONDS s)"
else
    echo "NOT equal; the first differences (< wasmill, > recount):"
    diff "$work/counted" "$work/recount" | head -n 20 || true
    exit 1
fi
