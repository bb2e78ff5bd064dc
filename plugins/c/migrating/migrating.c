/* The next state version of plugins/misbehaving/oracle, to test the host: what was a number is an object now. The
 * configuration says whether it fails while it changes that. */
#include "wasmill.h"

enum { SEEN };

static const wasmill_store STORES[] = {
    {.name = "seen", .doc = "How many records of a key came through", .keyed = true, .format = WASMILL_JSON},
};

typedef struct settings {
    bool refuse; /* it fails when half of it is done */
} settings;

static void configure(yyjson_val *config, wasmill_context *ctx) {
    settings *own = wasmill_instance(ctx);
    wasmill_known_options(ctx, config, "refuse", (const char *)NULL);
    wasmill_option_bool(ctx, config, "refuse", &own->refuse);
}

static yyjson_mut_doc *object(wasmill_context *ctx, uint64_t count) {
    yyjson_mut_doc *doc = wasmill_new_json(ctx);
    yyjson_mut_val *seen = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, seen);
    yyjson_mut_obj_add_uint(doc, seen, "count", count);
    return doc;
}

static wasmill_result process(const wasmill_record *record, wasmill_context *ctx) {
    (void)record;
    yyjson_val *seen;
    int64_t count = 0;
    WASMILL_TRY(wasmill_get_json(ctx, SEEN, &seen));
    if (seen != NULL) {
        WASMILL_TRY(wasmill_field_s64(ctx, seen, "count", &count));
    }
    return wasmill_put_json(ctx, SEEN, object(ctx, (uint64_t)count + 1));
}

static const wasmill_plugin PLUGIN = {
    .name = "migrating",
    .version = "0.1.0",
    .doc = "The oracle with another way to store",
    .stores = {STORES, WASMILL_COUNT(STORES)},
    .state_version = 1,
    .instance_size = sizeof(settings),
    .configure = configure,
    .process = process,
};
WASMILL_EXPORT(PLUGIN)

/* ---- Migration ---- */

/* Version 0 had a number, and entries for 0, too. */
static wasmill_result change(
    wasmill_bytes key, wasmill_bytes earlier, wasmill_bytes *now, wasmill_context *ctx, void *data) {
    const settings *own = data;
    if (own->refuse && key.len >= 6 && memcmp(key.data, "room-2", 6) == 0) {
        return wasmill_fail(ctx, "no-mood", "not today");
    }
    uint64_t count;
    WASMILL_TRY(wasmill_read_u64(ctx, earlier, &count));
    return count == 0 ? WASMILL_OK : wasmill_write_json(ctx, object(ctx, count), now);
}

static wasmill_result migrate(uint32_t from, wasmill_context *ctx) {
    if (from != 0) {
        return wasmill_fail(ctx, "no-version", "there was no version %u", (unsigned)from);
    }
    return wasmill_migration_rewrite(ctx, SEEN, change, wasmill_instance(ctx));
}
WASMILL_MIGRATES(migrate)

/* ---- Queries: seen/KEY, seen-of/TRANSFORM/KEY, and bad ones ---- */

static wasmill_result answer(const wasmill_query *query, wasmill_context *ctx) {
    const wasmill_bytes *path = query->path;
    bool own = query->path_count == 2 && wasmill_equal(path[0], wasmill_text("seen"));
    bool of = query->path_count == 3 && wasmill_equal(path[0], wasmill_text("seen-of"));
    wasmill_bytes stored;
    if (own) {
        WASMILL_TRY(wasmill_query_get(ctx, NULL, "seen", path[1], &stored));
    } else if (of) {
        const char *transform = wasmill_format(ctx, "%.*s", WASMILL_ARG(path[1])).data;
        WASMILL_TRY(wasmill_query_get(ctx, transform, "seen", path[2], &stored));
    } else if (query->path_count == 1 && wasmill_equal(path[0], wasmill_text("all-of"))) {
        wasmill_bytes transform;
        wasmill_entries found;
        wasmill_find_parameter(query, "transform", &transform);
        WASMILL_TRY(wasmill_query_scan(
            ctx, wasmill_format(ctx, "%.*s", WASMILL_ARG(transform)).data, "seen", wasmill_text("room-"),
            wasmill_text("room-1"), 2, &found));
        return wasmill_answer_text(ctx, wasmill_format(ctx, "%zu %s", found.count, found.more ? "true" : "false"));
    } else if (query->path_count == 1 && wasmill_equal(path[0], wasmill_text("panic"))) {
        wasmill_log(ctx, WASMILL_ERROR, "asked for it");
        __builtin_trap();
    } else if (query->path_count == 1 && wasmill_equal(path[0], wasmill_text("refuse"))) {
        return wasmill_fail(ctx, "no-mood", "not today");
    } else {
        return wasmill_answer_not_found(ctx, "no such question");
    }
    if (stored.data == NULL) {
        return wasmill_answer_not_found(ctx, "never seen");
    }
    if (own) {
        return wasmill_answer_bytes(ctx, "application/json", stored);
    }
    uint64_t count;
    WASMILL_TRY(wasmill_read_u64(ctx, stored, &count));
    return wasmill_answer_text(ctx, wasmill_format(ctx, "%llu", (unsigned long long)count));
}
WASMILL_QUERIES(answer)
