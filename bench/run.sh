#!/usr/bin/env bash
# Wasmill beside a bare rdkafka loop on the same work, in the same run, on the same broker:
#
#   bench/run.sh [--records N] [--rounds N] [--commit-ms N] [W1] [W2] [W3]
#
# For each work (all by default) and both guarantees the two take turns, and the medians of the
# rounds are shown with their ratio. What counts is the ratio: absolute figures are those of the
# machine. The first round also compares the outputs, record by record. Linux only: CPU time is read
# from /proc. Uses the broker WASMILL_BENCH_KAFKA, or starts one. bench/README.md says more.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
. scripts/services.sh

records=2000000 rounds=3 commit_ms=100 works=()
while [ $# -gt 0 ]; do
    case $1 in
    --records) records=$2 && shift 2 ;;
    --rounds) rounds=$2 && shift 2 ;;
    --commit-ms) commit_ms=$2 && shift 2 ;;
    W1 | W2 | W3) works+=("$1") && shift ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
done
[ ${#works[@]} -gt 0 ] || works=(W1 W2 W3)

tools_need_rust
tools_need_native_build
if [ -z "${WASMILL_BENCH_KAFKA:-}" ]; then
    tools_need java "Java 17, for the Kafka broker (Debian, Ubuntu: apt-get install openjdk-17-jre-headless)"
    tools_need mvn "Maven, which fetches the Kafka broker (Debian, Ubuntu: apt-get install maven)"
fi
tools_check

target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --locked --release -p wasmill
cargo build --locked --release --manifest-path bench/bare/Cargo.toml --target-dir "$target/bench"
wasmill=$target/release/wasmill
bench=$target/bench/release/wasmill-bench
"$wasmill" build plugins/bench_json --out plugins/dist
"$wasmill" build plugins/bench_temperature --out plugins/dist

out=target/bench-results/$(date +%Y%m%d-%H%M%S)
mkdir -p "$out"
work=$(mktemp -d "${TMPDIR:-/tmp}/wasmill-bench.XXXXXX")
trap 'rm -rf "$work"; services_stop' EXIT
if [ -z "${WASMILL_BENCH_KAFKA:-}" ]; then
    services_start kafka
    WASMILL_BENCH_KAFKA=$WASMILL_TEST_KAFKA
fi
export WASMILL_BENCH_KAFKA
"$bench" input --topic bench-in --records "$records"

# measure WORK DELIVERY WHO ROUND COMMAND...: runs and measures it; `id` names its topics.
measure() {
    local work=$1 delivery=$2 who=$3 round=$4 more=()
    shift 4
    [ "$round" -gt 1 ] || more+=(--digest)
    # Wasmill makes its own changelog.
    if [ "$who-$work" = bare-W3 ]; then more+=(--changelog "$id-changelog"); fi
    "$bench" measure --work "$work" --delivery "$delivery" --who "$who" --output "$id" --records "$records" \
        --results "$out/results.jsonl" --log "$out/$id.log" ${more[@]+"${more[@]}"} -- "$@"
}

# one ROUND WORK DELIVERY WHO: measures the bare loop or Wasmill once.
one() {
    local round=$1 each=$2 delivery=$3 who=$4 more=() small
    small=$(tr '[:upper:]' '[:lower:]' <<<"$each")
    id=bench-$small-$delivery-$round-$$-$who
    if [ "$who" = bare ]; then
        if [ "$each" = W3 ]; then more+=(--changelog "$id-changelog"); fi
        if [ "$delivery" = exactly_once ]; then more+=(--exactly-once); fi
        measure "$each" "$delivery" bare "$round" "$bench" bare --work "$each" --input bench-in --output "$id" \
            --group "$id" --commit-ms "$commit_ms" --records "$records" ${more[@]+"${more[@]}"}
    else
        measure "$each" "$delivery" wasmill "$round" "$wasmill" run "bench/pipelines/$small.toml" \
            --set "name=$id" --set "kafka.brokers=$WASMILL_BENCH_KAFKA" --set "sinks.out.topic=$id" \
            --set "delivery=$delivery" --set "commit_interval_ms=$commit_ms" --set "state_dir=$work/$id"
        rm -rf "${work:?}/$id"
    fi
}

for ((round = 1; round <= rounds; round++)); do
    # Who goes first changes, so that a drift of the machine favours neither.
    if [ $((round % 2)) = 1 ]; then order=(bare wasmill); else order=(wasmill bare); fi
    for each in "${works[@]}"; do
        for delivery in at_least_once exactly_once; do
            for who in "${order[@]}"; do one "$round" "$each" "$delivery" "$who"; done
        done
    done
done

echo
"$bench" report --results "$out/results.jsonl" | tee "$out/report.md"
echo
echo "each run: $out/results.jsonl"
