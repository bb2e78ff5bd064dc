/* Counts words: the key is the word; each record raises its count by one and emits the new one. Queries ask for the
 * count of a word, and for the words that were seen most. */
#include "wasmill.h"

enum { COUNT };

static const wasmill_store STORES[] = {
    {.name = "count", .doc = "How often each word was seen", .keyed = true, .format = WASMILL_U64_LE},
};

static const wasmill_port PORTS[] = {
    {.name = "out", .doc = "{\"word\",\"count\"} for each record, keyed by the word"},
};

/* What the plugin tells of a word. */
static yyjson_mut_val *counted(yyjson_mut_doc *doc, wasmill_bytes word, uint64_t count) {
    yyjson_mut_val *total = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_strn(doc, total, "word", word.data, word.len);
    yyjson_mut_obj_add_uint(doc, total, "count", count);
    return total;
}

static wasmill_result process(const wasmill_record *record, wasmill_context *ctx) {
    (void)record;
    wasmill_bytes word;
    uint64_t count;
    WASMILL_TRY(wasmill_key_text(ctx, &word));
    WASMILL_TRY(wasmill_get_u64(ctx, COUNT, &count, NULL));
    count += 1;
    WASMILL_TRY(wasmill_put_u64(ctx, COUNT, count));
    yyjson_mut_doc *doc = wasmill_new_json(ctx);
    yyjson_mut_doc_set_root(doc, counted(doc, word, count));
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

/* ---- Queries: count/WORD, top?n=10 ---- */

enum { TOP_DEFAULT = 10, TOP_MAX = 1000, PAGE = 1000 };

typedef struct ranked {
    wasmill_bytes word;
    uint64_t count;
} ranked;

static wasmill_result answer_count(wasmill_bytes word, wasmill_context *ctx) {
    wasmill_bytes stored;
    uint64_t count;
    WASMILL_TRY(wasmill_query_get(ctx, NULL, "count", word, &stored));
    WASMILL_TRY(wasmill_read_u64(ctx, stored, &count));
    yyjson_mut_doc *doc = wasmill_new_json(ctx);
    yyjson_mut_doc_set_root(doc, counted(doc, word, count));
    return wasmill_answer_json(ctx, doc);
}

/* Puts an entry where it belongs among the `n` best. Words come in their order, so one with the same count goes behind
 * the others. */
static wasmill_result rank(ranked *best, size_t *count, size_t n, const wasmill_entry *entry, wasmill_context *ctx) {
    ranked own;
    WASMILL_TRY(wasmill_read_u64(ctx, entry->value, &own.count));
    size_t at = *count;
    while (at > 0 && best[at - 1].count < own.count) {
        at--;
    }
    if (at == n) {
        return WASMILL_OK;
    }
    /* The entry is forgotten at the next scan. */
    own.word = wasmill_format(ctx, "%.*s", WASMILL_ARG(entry->key));
    *count += *count < n;
    memmove(&best[at + 1], &best[at], (*count - 1 - at) * sizeof *best);
    best[at] = own;
    return WASMILL_OK;
}

/* Reads all words: for vocabularies that are read within the transform's time. */
static wasmill_result answer_top(size_t n, wasmill_context *ctx) {
    ranked *best = wasmill_alloc(ctx, n * sizeof *best);
    size_t count = 0;
    wasmill_bytes after = wasmill_null();
    wasmill_entries entries;
    do {
        WASMILL_TRY(wasmill_query_scan(ctx, NULL, "count", wasmill_text(""), after, PAGE, &entries));
        for (size_t i = 0; i < entries.count; i++) {
            WASMILL_TRY(rank(best, &count, n, &entries.list[i], ctx));
            after = entries.list[i].key;
        }
    } while (entries.more);
    yyjson_mut_doc *doc = wasmill_new_json(ctx);
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, list);
    for (size_t i = 0; i < count; i++) {
        yyjson_mut_arr_append(list, counted(doc, best[i].word, best[i].count));
    }
    return wasmill_answer_json(ctx, doc);
}

/* The number that a text is; 0 when it is none from 1 to TOP_MAX. */
static size_t read_n(wasmill_bytes text) {
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || n > TOP_MAX) {
            return 0;
        }
        n = n * 10 + (size_t)(text.data[i] - '0');
    }
    return n <= TOP_MAX ? n : 0;
}

static wasmill_result answer(const wasmill_query *query, wasmill_context *ctx) {
    if (query->path_count == 2 && wasmill_equal(query->path[0], wasmill_text("count"))) {
        return answer_count(query->path[1], ctx);
    }
    if (query->path_count == 1 && wasmill_equal(query->path[0], wasmill_text("top"))) {
        wasmill_bytes text;
        size_t n = wasmill_find_parameter(query, "n", &text) ? read_n(text) : TOP_DEFAULT;
        return n > 0 ? answer_top(n, ctx) : wasmill_answer_bad_request(ctx, "`n` is a number from 1 to %d", TOP_MAX);
    }
    return wasmill_answer_not_found(ctx, "ask for count/WORD or top?n=10");
}
WASMILL_QUERIES(answer)
