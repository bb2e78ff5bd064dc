/* Counts words: the key is the word; each record raises its count by one and emits the new one. */
#include "wasmill.h"

enum { COUNT };

static const wasmill_store STORES[] = {
    {.name = "count", .doc = "How often each word was seen", .keyed = true, .format = WASMILL_U64_LE},
};

static const wasmill_port PORTS[] = {
    {.name = "out", .doc = "{\"word\",\"count\"} for each record, keyed by the word"},
};

static wasmill_result process(const wasmill_record *record, wasmill_context *ctx) {
    (void)record;
    wasmill_bytes word;
    uint64_t count;
    WASMILL_TRY(wasmill_key_text(ctx, &word));
    WASMILL_TRY(wasmill_get_u64(ctx, COUNT, &count, NULL));
    count += 1;
    WASMILL_TRY(wasmill_put_u64(ctx, COUNT, count));
    yyjson_mut_doc *doc = wasmill_new_json(ctx);
    yyjson_mut_val *total = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, total);
    yyjson_mut_obj_add_strn(doc, total, "word", word.data, word.len);
    yyjson_mut_obj_add_uint(doc, total, "count", count);
    return wasmill_emit_json(ctx, doc);
}

static const wasmill_plugin PLUGIN = {
    .name = "word_count",
    .version = "0.1.0",
    .doc = "Counts words by their key",
    .ports = {PORTS, WASMILL_COUNT(PORTS)},
    .stores = {STORES, WASMILL_COUNT(STORES)},
    .process = process,
};
WASMILL_EXPORT(PLUGIN)
