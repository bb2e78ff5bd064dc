/* For each reading of a room: the change since the last one, and the running average.
 *
 * Input {"room","temp","ts"}, keyed by the room. The average is the sum of all readings in the
 * order of their offsets, divided by their count. */
#include <math.h>

#include "wasmill.h"

/* What is stored: three f64. A count below 2^53 is exact as f64. */
enum { ROOM };
enum { LAST, SUM, COUNT, NUMBERS };

static const wasmill_store STORES[] = {
    {.name = "room", .doc = "Last reading, sum and count, each as f64", .keyed = true, .format = WASMILL_BYTES},
};

static const wasmill_port PORTS[] = {
    {.name = "out",
     .doc = "{\"room\",\"temp\",\"delta\",\"avg\",\"count\",\"ts\"} for each reading, keyed by the room"},
};

static wasmill_result process(const wasmill_record *record, wasmill_context *ctx) {
    if (record->key.data == NULL) {
        return wasmill_fail(ctx, "no-key", "the record has no key");
    }
    yyjson_val *reading;
    wasmill_bytes room;
    double temp;
    int64_t ts;
    WASMILL_TRY(wasmill_value_json(ctx, &reading));
    WASMILL_TRY(wasmill_field_text(ctx, reading, "room", &room));
    WASMILL_TRY(wasmill_field_f64(ctx, reading, "temp", &temp));
    WASMILL_TRY(wasmill_field_s64(ctx, reading, "ts", &ts));
    if (!wasmill_equal(record->key, room)) {
        return wasmill_fail(
            ctx, "wrong-key",
            "the record's key is `%.*s`, but the reading is of room `%.*s`; give the source `key = \"/room\"`",
            WASMILL_ARG(record->key), WASMILL_ARG(room));
    }
    double before[NUMBERS];
    bool found;
    WASMILL_TRY(wasmill_get_f64s(ctx, ROOM, before, NUMBERS, &found));
    double now[NUMBERS] = {temp, before[SUM] + temp, before[COUNT] + 1};
    if (!isfinite(now[SUM])) {
        return wasmill_fail(ctx, "out-of-range", "the sum of the readings is beyond what f64 holds");
    }
    WASMILL_TRY(wasmill_put_f64s(ctx, ROOM, now, NUMBERS));

    yyjson_mut_doc *doc = wasmill_new_json(ctx);
    yyjson_mut_val *change = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, change);
    yyjson_mut_obj_add_strn(doc, change, "room", room.data, room.len);
    yyjson_mut_obj_add_real(doc, change, "temp", temp);
    if (found) {
        yyjson_mut_obj_add_real(doc, change, "delta", temp - before[LAST]);
    } else {
        yyjson_mut_obj_add_null(doc, change, "delta");
    }
    yyjson_mut_obj_add_real(doc, change, "avg", now[SUM] / now[COUNT]);
    yyjson_mut_obj_add_uint(doc, change, "count", (uint64_t)now[COUNT]);
    yyjson_mut_obj_add_sint(doc, change, "ts", ts);
    return wasmill_emit_json(ctx, doc);
}

static const wasmill_plugin PLUGIN = {
    .name = "temperature",
    .version = "0.1.0",
    .doc = "Change and running average of each room's temperature",
    .ports = {PORTS, WASMILL_COUNT(PORTS)},
    .stores = {STORES, WASMILL_COUNT(STORES)},
    .process = process,
};
WASMILL_EXPORT(PLUGIN)
