#!/usr/bin/env bash
# Sensors of rooms that send a reading each, round after round: sensors.sh [ROOMS] [ROUNDS] [URL]
# Asks for the number of rooms when it is not given. Needs curl, and pipelines/temperature/http.toml to run.
set -euo pipefail

rooms=${1:-}
rounds=${2:-10}
url=${3:-http://127.0.0.1:8080}
if [ -z "$rooms" ]; then
    read -r -p "How many rooms? " rooms
fi
for number in "$rooms" "$rounds"; do
    case $number in
    '' | *[!0-9]*)
        echo "sensors.sh: \`$number\` is no number" >&2
        exit 2
        ;;
    esac
done

sent=0
for ((round = 1; round <= rounds; round++)); do
    for ((room = 1; room <= rooms; room++)); do
        temp=$((18 + RANDOM % 8)).$((RANDOM % 10))
        # 429 and 503 say when to come back; curl does.
        curl --silent --show-error --fail --retry 5 --output /dev/null \
            "$url/rooms/room-$room/readings?temp=$temp"
        sent=$((sent + 1))
    done
done
echo "sent $sent readings of $rooms rooms"
