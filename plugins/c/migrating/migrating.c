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

/* ---- Queries ---- */

static bool is(wasmill_bytes text, const char *other) {
    return wasmill_equal(text, wasmill_text(other));
}

/* What is stored as JSON, or (of the oracle) as a number, null for nothing. */
static wasmill_result append(
    yyjson_mut_doc *doc, yyjson_mut_val *list, bool number, wasmill_bytes stored, wasmill_context *ctx) {
    uint64_t count;
    if (stored.data == NULL) {
        yyjson_mut_arr_add_null(doc, list);
    } else if (number) {
        WASMILL_TRY(wasmill_read_u64(ctx, stored, &count));
        yyjson_mut_arr_add_uint(doc, list, count);
    } else {
        yyjson_val *json;
        WASMILL_TRY(wasmill_read_json(ctx, stored, &json));
        yyjson_mut_arr_append(list, yyjson_val_mut_copy(doc, json));
    }
    return WASMILL_OK;
}

/* `of`: NULL for the own store. */
static wasmill_result many(const char *of, const wasmill_bytes *keys, size_t count, wasmill_context *ctx) {
    wasmill_bytes *values = wasmill_alloc(ctx, count * sizeof *values);
    WASMILL_TRY(wasmill_query_get_many(ctx, of, "seen", keys, count, values));
    yyjson_mut_doc *doc = wasmill_new_json(ctx);
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, list);
    for (size_t i = 0; i < count; i++) {
        WASMILL_TRY(append(doc, list, of != NULL, values[i], ctx));
    }
    return wasmill_answer_json(ctx, doc);
}

static wasmill_result all_of(const char *of, wasmill_context *ctx) {
    wasmill_entries found;
    WASMILL_TRY(wasmill_query_scan(ctx, of, "seen", wasmill_text("room-"), wasmill_text("room-1"), 2, &found));
    yyjson_mut_doc *doc = wasmill_new_json(ctx);
    yyjson_mut_val *counts = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, counts);
    for (size_t i = 0; i < found.count; i++) {
        uint64_t count;
        WASMILL_TRY(wasmill_read_u64(ctx, found.list[i].value, &count));
        yyjson_mut_val *key = yyjson_mut_strn(doc, found.list[i].key.data, found.list[i].key.len);
        yyjson_mut_obj_add(counts, key, yyjson_mut_uint(doc, count));
    }
    return wasmill_answer_json(ctx, doc);
}

static wasmill_result answer(const wasmill_query *query, wasmill_context *ctx) {
    size_t count = query->path_count;
    const wasmill_bytes *path = query->path;
    wasmill_bytes what = count > 0 ? path[0] : wasmill_text("");
    /* What the oracle stores beside it, in the same pipeline. */
    const char *of = count > 1 ? wasmill_format(ctx, "%.*s", WASMILL_ARG(path[1])).data : NULL;
    wasmill_bytes stored;
    if (is(what, "seen") && count == 2) {
        WASMILL_TRY(wasmill_query_get(ctx, NULL, "seen", path[1], &stored));
        if (stored.data == NULL) {
            return wasmill_answer_not_found(ctx, "never seen");
        }
        return wasmill_answer_bytes(ctx, "application/json", stored);
    }
    if (is(what, "many")) {
        return many(NULL, path + 1, count - 1, ctx);
    }
    if (is(what, "seen-of") && count == 3) {
        WASMILL_TRY(wasmill_query_get(ctx, of, "seen", path[2], &stored));
        uint64_t number;
        WASMILL_TRY(wasmill_read_u64(ctx, stored, &number));
        yyjson_mut_doc *doc = wasmill_new_json(ctx);
        yyjson_mut_doc_set_root(doc, stored.data == NULL ? yyjson_mut_null(doc) : yyjson_mut_uint(doc, number));
        return wasmill_answer_json(ctx, doc);
    }
    if (is(what, "all-of") && count == 2) {
        return all_of(of, ctx);
    }
    if (is(what, "many-of") && count > 1) {
        return many(of, path + 2, count - 2, ctx);
    }
    if (is(what, "now")) {
        WASMILL_TRY(wasmill_answer_text(ctx, wasmill_format(ctx, "%lld", (long long)wasmill_now(ctx))));
        return wasmill_answer_status(ctx, 299);
    }
    if (is(what, "panic")) {
        wasmill_log(ctx, WASMILL_ERROR, "asked for it");
        __builtin_trap();
    }
    if (is(what, "emit")) {
        return wasmill_emit(ctx, wasmill_text("there is no record"));
    }
    if (is(what, "refuse")) {
        return wasmill_fail(ctx, "no-mood", "not today");
    }
    return wasmill_answer_not_found(ctx, "no such question");
}
WASMILL_QUERIES(answer)
