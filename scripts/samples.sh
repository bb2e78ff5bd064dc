#!/usr/bin/env bash
# Writes the sample inputs of the pipelines. Always the same: made from a fixed seed, in awk.
set -euo pipefail
cd "$(dirname "$0")/.."

# Plain ASCII sentences without apostrophes, so that tr can count their words too.
LC_ALL=C awk '
function random(n) { seed = (seed * 16807) % 2147483647; return int(seed / 2147483647 * n) }
# Like words of a language: the first of a list are the most frequent.
function often(list, n,   a, b) { a = random(n); b = random(n); return list[(a < b ? a : b) + 1] }
function pick(list, n) { return list[random(n) + 1] }
function thing(  s) {
    s = often(determiner, determiners) " "
    if (random(5) < 2) s = s often(adjective, adjectives) " "
    return s often(noun, nouns)
}
function sentence(  s) {
    s = thing() " " often(verb, verbs) " " thing()
    if (random(3) == 0) s = s " " often(preposition, prepositions) " " thing()
    if (random(6) == 0) s = s ", " pick(joint, joints) " " thing() " " often(verb, verbs) " " thing()
    if (random(12) == 0) s = s " in " (1780 + random(60))
    return toupper(substr(s, 1, 1)) substr(s, 2) pick(stop, stops)
}
BEGIN {
    seed = 20261121
    determiners = split("the a every this that each another our no some", determiner)
    adjectives = split("old small quiet long cold green distant heavy early narrow bright late broken common slow wooden silver hollow patient northern", adjective)
    nouns = split("river stream mill wheel water stone bridge village boat keeper garden field road harbour lantern winter morning letter forest barrel miller song window orchard ladder kitchen wagon shepherd valley meadow bell clock island candle market blanket tower ferry grain basket", noun)
    verbs = split("follows carries finds turns passes keeps meets leaves moves watches fills crosses remembers counts mends hears opens answers measures weighs", verb)
    prepositions = split("near under beside beyond behind across above before after without", preposition)
    joints = split("and while but because until", joint)
    stops = split(". . . . . ! ? ;", stop)
    for (line = 0; line < 2500; line++) print sentence() (random(3) == 0 ? " " sentence() : "")
}' >pipelines/word-count/lines.txt

# Readings of 20 rooms, a second apart, walking around a temperature of the room.
LC_ALL=C awk '
function random(n) { seed = (seed * 16807) % 2147483647; return int(seed / 2147483647 * n) }
BEGIN {
    seed = 19700101
    for (i = 0; i < 20; i++) tenths[i] = 170 + random(80)
    for (i = 0; i < 2000; i++) {
        room = random(20)
        tenths[room] += random(11) - 5
        printf "{\"room\":\"r%d\",\"temp\":%.1f,\"ts\":%.0f}\n", room, tenths[room] / 10, 1767225600000 + i * 1000
    }
}' >pipelines/temperature/readings.ndjson
