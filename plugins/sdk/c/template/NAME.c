/* Counts the records of each key. */
#include "wasmill.h"

/* One value per record key, kept by the host. */
enum { COUNT };
static const wasmill_store STORES[] = {
    {.name = "count", .doc = "How many records the key has had", .keyed = true, .format = WASMILL_U64_LE},
};

static const wasmill_port PORTS[] = {
    {.name = "out", .doc = "{\"key\",\"count\"} for each record from the least count on"},
};

/* What comes from the config; what is to last belongs into a store. */
struct config {
    int64_t least; /* the first count that is emitted */
};

/* Reads the `config` table of the transform. What is told to wasmill_problem refuses it. */
static void configure(yyjson_val *config, wasmill_context *ctx) {
    struct config *self = wasmill_instance(ctx);
    self->least = 1;
    wasmill_known_options(ctx, config, "least", NULL);
    if (wasmill_option_s64(ctx, config, "least", &self->least) && self->least < 0) {
        wasmill_problem(ctx, "/least", "must not be negative");
    }
}

/* Runs one record. A failure fails it alone, and drops what it has stored and emitted. */
static wasmill_result process(const wasmill_record *record, wasmill_context *ctx) {
    (void)record;
    const struct config *self = wasmill_instance(ctx);
    wasmill_bytes key;
    uint64_t count;
    WASMILL_TRY(wasmill_key_text(ctx, &key));
    WASMILL_TRY(wasmill_get_u64(ctx, COUNT, &count, NULL));
    count += 1;
    WASMILL_TRY(wasmill_put_u64(ctx, COUNT, count));
    if (count < (uint64_t)self->least) {
        return WASMILL_OK;
    }
    yyjson_mut_doc *doc = wasmill_new_json(ctx);
    yyjson_mut_val *out = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, out);
    yyjson_mut_obj_add_strn(doc, out, "key", key.data, key.len);
    yyjson_mut_obj_add_uint(doc, out, "count", count);
    return wasmill_emit_json(ctx, doc);
}

static const wasmill_plugin PLUGIN = {
    .name = "{{name}}",
    .version = "0.1.0",
    .doc = "Counts the records of each key",
    .ports = {PORTS, WASMILL_COUNT(PORTS)},
    .stores = {STORES, WASMILL_COUNT(STORES)},
    .instance_size = sizeof(struct config),
    .configure = configure,
    .process = process,
};
WASMILL_EXPORT(PLUGIN)
