/* Queries and migrations, of a plugin that does what it is asked. */
#include <stdio.h>
#include <stdlib.h>

#include "../testing/testing.h"
#include "wasmill_test.h"

void queries_and_migrations(void);

enum { SEEN, NOTES };
static const wasmill_store STORES[] = {
    {"seen", "A number per key", true, WASMILL_U64_LE},
    {"notes", "Text under any key", false, WASMILL_UTF8},
};

static wasmill_result process(const wasmill_record *record, wasmill_context *ctx) {
    (void)record;
    uint64_t count;
    WASMILL_TRY(wasmill_get_u64(ctx, SEEN, &count, NULL));
    return wasmill_put_u64(ctx, SEEN, count + 1);
}

static const wasmill_plugin PLUGIN = {
    .name = "handlers", .version = "1", .stores = {STORES, WASMILL_COUNT(STORES)}, .process = process, .state_version = 2};

/* ---- Queries ---- */

static wasmill_result scanned(const wasmill_query *query, const char *of, wasmill_context *ctx) {
    wasmill_bytes prefix;
    wasmill_bytes after;
    wasmill_bytes limit;
    if (!wasmill_find_parameter(query, "prefix", &prefix)) {
        prefix = wasmill_text("");
    }
    wasmill_find_parameter(query, "after", &after);
    wasmill_find_parameter(query, "limit", &limit);
    uint32_t at_most = 100;
    if (limit.data != NULL) {
        at_most = (uint32_t)strtoul(wasmill_format(ctx, "%.*s", WASMILL_ARG(limit)).data, NULL, 10);
    }
    wasmill_entries entries;
    WASMILL_TRY(wasmill_query_scan(ctx, of, "seen", prefix, after, at_most, &entries));
    wasmill_bytes text = wasmill_text("");
    for (size_t i = 0; i < entries.count; i++) {
        uint64_t count;
        WASMILL_TRY(wasmill_read_u64(ctx, entries.list[i].value, &count));
        text = wasmill_format(ctx, "%.*s%.*s=%u ", WASMILL_ARG(text), WASMILL_ARG(entries.list[i].key), (unsigned)count);
    }
    return wasmill_answer_bytes(
        ctx, "text/x-all", wasmill_format(ctx, "%.*s%s", WASMILL_ARG(text), entries.more ? "+" : "."));
}

static wasmill_result answer(const wasmill_query *query, wasmill_context *ctx) {
    wasmill_bytes first = query->path_count > 0 ? query->path[0] : wasmill_text("");
    wasmill_bytes second = query->path_count > 1 ? query->path[1] : wasmill_null();
    wasmill_bytes transform;
    const char *of = NULL;
    if (wasmill_find_parameter(query, "of", &transform)) {
        of = wasmill_format(ctx, "%.*s", WASMILL_ARG(transform)).data;
    }
    if (wasmill_equal(first, wasmill_text("seen"))) {
        wasmill_bytes stored;
        uint64_t count;
        WASMILL_TRY(wasmill_query_get(ctx, of, "seen", second, &stored));
        WASMILL_TRY(wasmill_read_u64(ctx, stored, &count));
        if (stored.data == NULL) {
            return wasmill_answer_not_found(ctx, "%.*s was never seen", WASMILL_ARG(second));
        }
        return wasmill_answer_text(ctx, wasmill_format(ctx, "%u", (unsigned)count));
    }
    if (wasmill_equal(first, wasmill_text("many"))) {
        wasmill_bytes values[3];
        WASMILL_TRY(wasmill_query_get_many(ctx, of, "seen", query->path + 1, query->path_count - 1, values));
        yyjson_mut_doc *doc = wasmill_new_json(ctx);
        yyjson_mut_val *list = yyjson_mut_arr(doc);
        yyjson_mut_doc_set_root(doc, list);
        for (size_t i = 0; i + 1 < query->path_count; i++) {
            uint64_t count;
            WASMILL_TRY(wasmill_read_u64(ctx, values[i], &count));
            if (values[i].data == NULL) {
                yyjson_mut_arr_add_null(doc, list);
            } else {
                yyjson_mut_arr_add_uint(doc, list, count);
            }
        }
        return wasmill_answer_json(ctx, doc);
    }
    if (wasmill_equal(first, wasmill_text("all"))) {
        return scanned(query, of, ctx);
    }
    if (wasmill_equal(first, wasmill_text("note"))) {
        wasmill_bytes note;
        WASMILL_TRY(wasmill_query_get(ctx, NULL, "notes", wasmill_text(""), &note));
        return wasmill_answer_text(ctx, note);
    }
    if (wasmill_equal(first, wasmill_text("echo"))) {
        wasmill_bytes text = wasmill_format(ctx, "%u parts,", (unsigned)query->path_count);
        for (size_t i = 0; i < query->parameter_count; i++) {
            text = wasmill_format(
                ctx, "%.*s %.*s=%.*s", WASMILL_ARG(text), WASMILL_ARG(query->parameters[i].name),
                WASMILL_ARG(query->parameters[i].value));
        }
        return wasmill_answer_text(ctx, text);
    }
    if (wasmill_equal(first, wasmill_text("status"))) {
        WASMILL_TRY(wasmill_answer_text(ctx, wasmill_text("so be it")));
        return wasmill_answer_status(ctx, atoi(wasmill_format(ctx, "%.*s", WASMILL_ARG(second)).data));
    }
    if (wasmill_equal(first, wasmill_text("created"))) {
        return wasmill_answer_status(ctx, 201);
    }
    if (wasmill_equal(first, wasmill_text("wrong"))) {
        return wasmill_answer_bad_request(ctx, "it is %s", "wrong");
    }
    if (wasmill_equal(first, wasmill_text("instead"))) {
        /* A failure that is not passed on is forgotten. */
        wasmill_bytes none;
        if (wasmill_query_get(ctx, NULL, "none", wasmill_text("a"), &none) == WASMILL_OK) {
            return WASMILL_OK;
        }
        WASMILL_TRY(wasmill_answer_not_found(ctx, "no"));
        return wasmill_answer_bytes(ctx, "\xff", wasmill_bytes_of("\0\xff", 2));
    }
    if (wasmill_equal(first, wasmill_text("absent"))) {
        wasmill_bytes none;
        return wasmill_query_get(ctx, NULL, "none", wasmill_text("a"), &none);
    }
    if (wasmill_equal(first, wasmill_text("keyless"))) {
        wasmill_bytes key = wasmill_null();
        wasmill_bytes none;
        return wasmill_query_get_many(ctx, of, "seen", &key, 1, &none);
    }
    if (wasmill_equal(first, wasmill_text("refuse"))) {
        return wasmill_fail(ctx, "no-mood", "not today \xff");
    }
    return wasmill_equal(first, wasmill_text("silent")) ? WASMILL_FAILED : WASMILL_OK;
}
WASMILL_QUERIES(answer)

static wasmill_bytes number(uint64_t value) {
    static uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    return wasmill_bytes_of(bytes, sizeof bytes);
}

static void answers_read_what_is_stored(void) {
    wasmill_test *t = wasmill_test_new(&PLUGIN, "{}", 0);
    wasmill_test_record records[] = {
        {.key = wasmill_text("a")}, {.key = wasmill_text("b")}, {.key = wasmill_text("a")}, {.key = wasmill_text("ab")}};
    wasmill_test_run(t, records, WASMILL_COUNT(records));
    wasmill_test_store_of(t, "other", "seen", wasmill_text("b"), number(8));
    wasmill_test_store_of(t, "other", "seen", wasmill_text("a"), number(7));
    wasmill_test_store_of(t, "other", "else", wasmill_text("a"), number(9));
    wasmill_test_store(t, NOTES, wasmill_text(""), wasmill_text("under an empty key"));
    static const struct {
        const char *path;
        int status;
        const char *content_type;
        const char *body;
    } CASES[] = {
        {"seen/a", 200, "text/plain; charset=utf-8", "2"},
        {"//seen/c/", 404, "text/plain; charset=utf-8", "c was never seen"},
        {"seen/a?of=other", 200, "text/plain; charset=utf-8", "7"},
        {"seen/a?of=none", 404, "text/plain; charset=utf-8", "a was never seen"},
        {"many/a/x/b", 200, "application/json", "[2,null,1]"},
        {"many/x/b?of=other", 200, "application/json", "[null,8]"},
        {"many", 200, "application/json", "[]"},
        {"all", 200, "text/x-all", "a=2 ab=1 b=1 ."},
        {"all?limit=1", 200, "text/x-all", "a=2 +"},
        {"all?limit=0", 200, "text/x-all", "+"},
        {"all?after=a&limit=1", 200, "text/x-all", "ab=1 +"},
        {"all?prefix=a&after=", 200, "text/x-all", "a=2 ab=1 ."},
        {"all?of=other", 200, "text/x-all", "a=7 b=8 ."},
        {"all?of=other&after=a", 200, "text/x-all", "b=8 ."},
        {"note", 200, "text/plain; charset=utf-8", "under an empty key"},
        {"echo/x?a=1&b&&c=&a=2=3", 200, "text/plain; charset=utf-8", "2 parts, a=1 b= c= a=2=3"},
        {"status/599", 599, "text/plain; charset=utf-8", "so be it"},
        {"created", 201, "text/plain; charset=utf-8", ""},
        {"wrong", 400, "text/plain; charset=utf-8", "it is wrong"},
    };
    for (size_t i = 0; i < WASMILL_COUNT(CASES); i++) {
        wasmill_test_answer given = wasmill_test_ask(t, CASES[i].path);
        WASMILL_CHECK(given.status == CASES[i].status);
        WASMILL_CHECK_TEXT(wasmill_text(given.content_type), CASES[i].content_type);
        WASMILL_CHECK_TEXT(given.body, CASES[i].body);
        WASMILL_CHECK(wasmill_test_failure_count(t) == 0);
    }
    WASMILL_CHECK(wasmill_equal(wasmill_test_ask(t, "instead").body, wasmill_bytes_of("\0\xff", 2)));
    wasmill_test_free(t);
}

static void faults_of_the_plugin_are_failures(void) {
    wasmill_test *t = wasmill_test_new(&PLUGIN, "{}", 0);
    wasmill_test_store(t, SEEN, wasmill_text("bad"), wasmill_text("x"));
    static const char *const CASES[][3] = {
        {"refuse", "no-mood", "not today \xff"},
        {"silent", "error", "the plugin failed and did not say why"},
        {"nothing", "error", "the plugin has answered nothing"},
        {"absent", "error", "the plugin has no store `none`"},
        {"keyless", "no-key", "a key of the store `seen` is null"},
        {"keyless?of=other", "no-key", "a key of the store `seen` is null"},
        {"seen", "no-key", "a key of the store `seen` is null"},
        {"status/600", "error", "an answer has a status of 200 to 599, not 600"},
        {"status/199", "error", "an answer has a status of 200 to 599, not 199"},
        {"seen/bad", "bad-state", "what is stored cannot be read: 1 bytes, not 8; has the plugin changed its format?"},
    };
    for (size_t i = 0; i < WASMILL_COUNT(CASES); i++) {
        WASMILL_CHECK(wasmill_test_ask(t, CASES[i][0]).status == 0);
        WASMILL_CHECK(wasmill_test_failure_count(t) == 1);
        WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).code), CASES[i][1]);
        WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).message), CASES[i][2]);
    }
    /* The next question is answered, the next record is processed. */
    WASMILL_CHECK(wasmill_test_ask(t, "created").status == 201);
    wasmill_test_record records[] = {{.key = wasmill_text("a")}};
    wasmill_test_run(t, records, 1);
    WASMILL_CHECK(wasmill_equal(wasmill_test_stored(t, SEEN, wasmill_text("a")), number(1)));
    wasmill_test_free(t);
}

/* As the component's export does it. */
static void requests_are_answered(void) {
    wasmill_test *t = wasmill_test_new(&PLUGIN, "{}", 0);
    everything_string_t path[] = {wm_string(wasmill_text("echo")), wm_string(wasmill_text("x"))};
    everything_tuple2_string_string_t parameters[] = {{wm_string(wasmill_text("a")), wm_string(wasmill_text(""))}};
    exports_wasmill_plugin_query_handler_request_t request = {{path, 2}, {parameters, 1}};
    exports_wasmill_plugin_query_handler_response_t response;
    everything_string_t message;
    WASMILL_CHECK(wm_answer_request(t->ctx, &request, &response, &message));
    WASMILL_CHECK(response.status == 200);
    WASMILL_CHECK_TEXT(wasmill_bytes_of(response.body.ptr, response.body.len), "2 parts, a=");
    WASMILL_CHECK_TEXT(wasmill_bytes_of(response.content_type.ptr, response.content_type.len), "text/plain; charset=utf-8");
    free(response.body.ptr);
    free(response.content_type.ptr);

    path[0] = wm_string(wasmill_text("instead"));
    WASMILL_CHECK(wm_answer_request(t->ctx, &request, &response, &message));
    WASMILL_CHECK_TEXT(wasmill_bytes_of(response.content_type.ptr, response.content_type.len), "\xef\xbf\xbd");
    free(response.body.ptr);
    free(response.content_type.ptr);

    path[0] = wm_string(wasmill_text("refuse"));
    WASMILL_CHECK(!wm_answer_request(t->ctx, &request, &response, &message));
    WASMILL_CHECK_TEXT(wasmill_bytes_of(message.ptr, message.len), "no-mood: not today \xef\xbf\xbd");
    free(message.ptr);
    wasmill_test_free(t);
}

/* ---- Migrations ---- */

/* Numbers become ten times as large; 0 goes. `data` is the last key. */
static wasmill_result grow(
    wasmill_bytes key, wasmill_bytes earlier, wasmill_bytes *now, wasmill_context *ctx, void *data) {
    uint64_t count;
    WASMILL_TRY(wasmill_read_u64(ctx, earlier, &count));
    char *last = data;
    if (key.len >= 16 || strncmp(last, key.data, key.len) >= 0) {
        return wasmill_fail(ctx, "order", "%.*s comes after %s", WASMILL_ARG(key), last);
    }
    memcpy(last, key.data, key.len);
    last[key.len] = 0;
    if (count == 8888) {
        return wasmill_fail(ctx, "no-mood", "not %s", "today");
    }
    if (count > 0) {
        *now = wasmill_write_u64(ctx, count * 10);
    }
    return WASMILL_OK;
}

static wasmill_result migrate(uint32_t from, wasmill_context *ctx) {
    wasmill_bytes old;
    wasmill_bytes name = wasmill_text("");
    char last[16] = "";
    switch (from) {
    case 0:
        return wasmill_migration_rewrite(ctx, SEEN, grow, last);
    case 1:
        WASMILL_TRY(wasmill_migration_get(ctx, NOTES, name, &old));
        WASMILL_TRY(wasmill_migration_put(ctx, NOTES, wasmill_text("new"), wasmill_format(ctx, "%.*s!", WASMILL_ARG(old))));
        WASMILL_TRY(wasmill_migration_put(ctx, NOTES, name, wasmill_text("")));
        WASMILL_TRY(wasmill_migration_remove(ctx, NOTES, wasmill_text("old")));
        WASMILL_TRY(wasmill_migration_get(ctx, NOTES, wasmill_text("old"), &old));
        return old.data == NULL ? WASMILL_OK : wasmill_fail(ctx, "error", "it is still there");
    case 2:
        return wasmill_migration_put(ctx, SEEN, wasmill_null(), wasmill_text("x"));
    default:
        return WASMILL_FAILED;
    }
}
WASMILL_MIGRATES(migrate)

static void every_entry_is_rewritten(void) {
    wasmill_test *t = wasmill_test_new(&PLUGIN, "{}", 0);
    /* More than one page of them. */
    enum { COUNT = 2500 };
    char key[16];
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(key, sizeof key, "k%04u", i);
        wasmill_test_store(t, SEEN, wasmill_text(key), number(i));
    }
    wasmill_test_store(t, NOTES, wasmill_text("k"), wasmill_text("of another store"));
    WASMILL_CHECK(wasmill_test_migrate(t, 0));
    WASMILL_CHECK(wasmill_test_entry_count(t) == COUNT); /* without k0000, with the note */
    WASMILL_CHECK(wasmill_test_stored(t, SEEN, wasmill_text("k0000")).data == NULL);
    WASMILL_CHECK(wasmill_equal(wasmill_test_stored(t, SEEN, wasmill_text("k0007")), number(70)));
    WASMILL_CHECK(wasmill_equal(wasmill_test_stored(t, SEEN, wasmill_text("k2499")), number(24990)));
    wasmill_test_free(t);
}

static void entries_are_read_and_written(void) {
    wasmill_test *t = wasmill_test_new(&PLUGIN, "{}", 0);
    wasmill_test_store(t, NOTES, wasmill_text(""), wasmill_text("x"));
    wasmill_test_store(t, NOTES, wasmill_text("old"), wasmill_text("y"));
    WASMILL_CHECK(wasmill_test_migrate(t, 1));
    WASMILL_CHECK(wasmill_test_entry_count(t) == 2);
    WASMILL_CHECK_TEXT(wasmill_test_stored(t, NOTES, wasmill_text("")), "");
    WASMILL_CHECK_TEXT(wasmill_test_stored(t, NOTES, wasmill_text("new")), "x!");
    wasmill_test_free(t);
}

static void what_fails_changes_nothing(void) {
    wasmill_test *t = wasmill_test_new(&PLUGIN, "{}", 0);
    wasmill_test_store(t, SEEN, wasmill_text("a"), number(1));
    wasmill_test_store(t, SEEN, wasmill_text("b"), number(8888));
    static const char *const SAID[][2] = {
        {"no-mood", "not today"}, {NULL, NULL}, {"no-key", "a key is null"}, {"error", "the plugin failed and did not say why"}};
    for (uint32_t from = 0; from < WASMILL_COUNT(SAID); from++) {
        if (SAID[from][0] == NULL) {
            continue;
        }
        WASMILL_CHECK(!wasmill_test_migrate(t, from));
        WASMILL_CHECK(wasmill_test_failure_count(t) == 1);
        WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).code), SAID[from][0]);
        WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).message), SAID[from][1]);
        WASMILL_CHECK(wasmill_test_entry_count(t) == 2);
        WASMILL_CHECK(wasmill_equal(wasmill_test_stored(t, SEEN, wasmill_text("a")), number(1)));
    }
    everything_string_t message;
    WASMILL_CHECK(!wm_migrate_from(t->ctx, 2, &message));
    WASMILL_CHECK_TEXT(wasmill_bytes_of(message.ptr, message.len), "no-key: a key is null");
    free(message.ptr);
    wasmill_test_store(t, SEEN, wasmill_text("b"), wasmill_text("x"));
    WASMILL_CHECK(!wasmill_test_migrate(t, 0));
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).code), "bad-state");
    wasmill_test_free(t);
}

void queries_and_migrations(void) {
    answers_read_what_is_stored();
    faults_of_the_plugin_are_failures();
    requests_are_answered();
    every_entry_is_rewritten();
    entries_are_read_and_written();
    what_fails_changes_nothing();
}
