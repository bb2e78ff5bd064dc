/* What every plugin relies on. The plugin here does what the value of each record says. */
#include <stdio.h>

#include "../src/internal.h"
#include "wasmill_test.h"

/* Of handlers_test.c. */
void queries_and_migrations(void);

enum { OWN, TEXT, SHARED };
static const wasmill_store STORES[] = {
    {"own", "A number per key", true, WASMILL_U64_LE},
    {"text", "JSON per key", true, WASMILL_JSON},
    {"shared", "A number under any key", false, WASMILL_U64_LE},
};
static const wasmill_port PORTS[] = {{"out", "", false}, {"side", "", true}};

static uint32_t seen;

static void configure(yyjson_val *config, wasmill_context *ctx) {
    wasmill_known_options(ctx, config, (const char *)NULL);
    seen = wasmill_counter("seen_total", "Records seen", NULL, 0);
}

static wasmill_result add(wasmill_context *ctx) {
    uint64_t count;
    WASMILL_TRY(wasmill_get_u64(ctx, OWN, &count, NULL));
    WASMILL_TRY(wasmill_put_u64(ctx, OWN, count + 1));
    wasmill_bytes stored;
    WASMILL_TRY(wasmill_get_at(ctx, SHARED, wasmill_text("all"), &stored));
    WASMILL_TRY(wasmill_read_u64(ctx, stored, &count));
    WASMILL_TRY(wasmill_put_at(ctx, SHARED, wasmill_text("all"), wasmill_write_u64(ctx, count + 1)));
    return wasmill_emit(ctx, wasmill_format(ctx, "%llu", (unsigned long long)count + 1));
}

static wasmill_result send(wasmill_context *ctx, const char *port, const char *key, const char *header) {
    wasmill_header headers[] = {{wasmill_text(header), wasmill_null()}};
    wasmill_output output = {.port = port, .key = wasmill_given(wasmill_text(key)), .headers = headers, .header_count = 1};
    return wasmill_send(ctx, &output);
}

static wasmill_result process(const wasmill_record *record, wasmill_context *ctx) {
    wasmill_bytes what = record->value;
    bool fails = what.len > 0 && what.data[what.len - 1] == '!';
    what.len -= fails;
    wasmill_update(seen, 1);
    if (wasmill_equal(what, wasmill_text("add"))) {
        WASMILL_TRY(add(ctx));
    } else if (wasmill_equal(what, wasmill_text("remove"))) {
        WASMILL_TRY(wasmill_remove(ctx, OWN));
    } else if (wasmill_equal(what, wasmill_text("timer"))) {
        WASMILL_TRY(wasmill_set_timer(ctx, WASMILL_EVENT_TIME, "later", record->timestamp + 10));
        WASMILL_TRY(wasmill_set_timer(ctx, WASMILL_WALL_CLOCK, "wall", 50));
    } else if (wasmill_equal(what, wasmill_text("when"))) {
        int64_t time;
        WASMILL_TRY(wasmill_get_timer(ctx, WASMILL_EVENT_TIME, "later", &time));
        WASMILL_TRY(wasmill_emit(ctx, wasmill_format(ctx, "%lld", (long long)time)));
    } else if (wasmill_equal(what, wasmill_text("cancel"))) {
        WASMILL_TRY(wasmill_cancel_timer(ctx, WASMILL_EVENT_TIME, "later"));
    } else if (wasmill_equal(what, wasmill_text("nameless"))) {
        WASMILL_TRY(wasmill_set_timer(ctx, WASMILL_EVENT_TIME, "", 1));
    } else if (wasmill_equal(what, wasmill_text("side"))) {
        WASMILL_TRY(send(ctx, "side", "other", "h"));
    } else if (wasmill_equal(what, wasmill_text("rekey"))) {
        WASMILL_TRY(send(ctx, "out", "other", "h"));
    } else if (wasmill_equal(what, wasmill_text("header"))) {
        WASMILL_TRY(send(ctx, "side", "other", "\xff"));
    } else if (wasmill_equal(what, wasmill_text("nowhere"))) {
        WASMILL_TRY(wasmill_emit_to(ctx, "nowhere", wasmill_null()));
    } else if (wasmill_equal(what, wasmill_text("keyed"))) {
        WASMILL_TRY(wasmill_put_at(ctx, OWN, wasmill_text("x"), wasmill_text("y")));
    } else if (wasmill_equal(what, wasmill_text("json"))) {
        yyjson_val *json;
        WASMILL_TRY(wasmill_get_json(ctx, TEXT, &json));
    } else if (wasmill_equal(what, wasmill_text("silent"))) {
        return WASMILL_FAILED;
    } else {
        WASMILL_TRY(wasmill_emit(ctx, wasmill_null()));
    }
    return fails ? wasmill_fail(ctx, "own", "bytes \xff of %.*s", WASMILL_ARG(record->value)) : WASMILL_OK;
}

static wasmill_result on_timer(const wasmill_timer *timer, wasmill_context *ctx) {
    WASMILL_TRY(add(ctx));
    if (timer->time == 20) {
        return wasmill_set_timer(ctx, WASMILL_EVENT_TIME, "again", timer->time);
    }
    return WASMILL_OK;
}

static const wasmill_plugin PLUGIN = {
    .name = "sdk_test",
    .version = "1",
    .ports = {PORTS, WASMILL_COUNT(PORTS)},
    .stores = {STORES, WASMILL_COUNT(STORES)},
    .configure = configure,
    .process = process,
    .on_timer = on_timer,
};
WASMILL_EXPORT(PLUGIN)

static wasmill_test_record record(const char *key, const char *value, int64_t timestamp) {
    wasmill_test_record own = {.key = wasmill_text(key), .value = wasmill_text(value), .timestamp = timestamp};
    return own;
}

#define RUN(t, ...)                                        \
    do {                                                   \
        wasmill_test_record records[] = {__VA_ARGS__};     \
        wasmill_test_run(t, records, WASMILL_COUNT(records)); \
    } while (0)

static void a_record_is_atomic(void) {
    wasmill_test *t = wasmill_test_new(&PLUGIN, "{}", 0);
    RUN(t, record("a", "add", 0), record("a", "add!", 0), record("a", "remove!", 0), record("b", "timer!", 0),
        record("a", "add", 0));
    WASMILL_CHECK(wasmill_test_output_count(t) == 2);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 1).value, "2");
    WASMILL_CHECK(wasmill_test_failure_count(t) == 3 && wasmill_test_timer_count(t) == 0);
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).message), "bytes \xEF\xBF\xBD of add!");
    WASMILL_CHECK(wasmill_equal(wasmill_test_stored(t, OWN, wasmill_text("a")), wasmill_bytes_of("\2\0\0\0\0\0\0\0", 8)));
    /* One fetch of the keyed store, one read of the shared key, one write of each. */
    WASMILL_CHECK(wasmill_test_host_calls(t) == 4);
    RUN(t, record("a", "remove", 0));
    WASMILL_CHECK(wasmill_test_stored(t, OWN, wasmill_text("a")).data == NULL);
    wasmill_test_free(t);
}

static void failures_have_their_codes(void) {
    static const char *const CASES[][2] = {
        {"rekey", "key-changed"}, {"header", "bad-utf8"},       {"nowhere", "no-port"}, {"keyed", "keyed-store"},
        {"json", "bad-state"},    {"nameless", "no-timer-name"}, {"silent", "error"},    {"add", "bad-state"},
    };
    wasmill_test *t = wasmill_test_new(&PLUGIN, "{}", 0);
    wasmill_test_store(t, TEXT, wasmill_text("a"), wasmill_text("{"));
    wasmill_test_store(t, OWN, wasmill_text("a"), wasmill_text("seven b"));
    for (size_t i = 0; i < WASMILL_COUNT(CASES); i++) {
        RUN(t, record("a", CASES[i][0], 0));
        WASMILL_CHECK(wasmill_test_output_count(t) == 0 && wasmill_test_failure_count(t) == 1);
        WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).code), CASES[i][1]);
    }
    RUN(t, record(NULL, "add", 0), record(NULL, "timer", 0));
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).code), "no-key");
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 1).code), "no-key");
    wasmill_test_free(t);
}

static void outputs_inherit_what_they_are_not_given(void) {
    wasmill_test *t = wasmill_test_new(&PLUGIN, "{}", 0);
    RUN(t, record("a", "other", 3), record(NULL, "side", 4), record("c", "side!", 5), record("d", "other", -1));
    WASMILL_CHECK(wasmill_test_output_count(t) == 3);
    wasmill_test_output side = wasmill_test_output_at(t, 1);
    WASMILL_CHECK(side.parent == 1 && side.timestamp == 4 && side.header_count == 1);
    WASMILL_CHECK_TEXT(wasmill_text(side.port), "side");
    WASMILL_CHECK_TEXT(side.key, "other");
    WASMILL_CHECK_TEXT(side.value, "side");
    WASMILL_CHECK_TEXT(side.headers[0].name, "h");
    WASMILL_CHECK(side.headers[0].value.data == NULL);
    wasmill_test_output last = wasmill_test_output_at(t, 2);
    WASMILL_CHECK(last.parent == 3 && last.value.data == NULL && last.timestamp == -1 && last.header_count == 0);
    WASMILL_CHECK_TEXT(last.key, "d");
    WASMILL_CHECK_TEXT(wasmill_text(last.port), "out");
    wasmill_test_free(t);
}

static void timers_fire_once_and_in_order(void) {
    wasmill_test *t = wasmill_test_new(&PLUGIN, "{}", 0);
    RUN(t, record("b", "timer", 0), record("b", "when", 1), record("a", "timer", 1), record("c", "timer", 2),
        record("c", "cancel", 3), record("c", "when", 4));
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 0).value, "10");
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 1).value, "-1");
    WASMILL_CHECK(wasmill_test_timer_count(t) == 5);
    /* The timers of b and a are due before this record. */
    RUN(t, record("z", "add", 11));
    WASMILL_CHECK(wasmill_test_output_count(t) == 3);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 0).key, "b");
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_output_at(t, 0).timer), "later");
    WASMILL_CHECK(wasmill_test_output_at(t, 0).timestamp == 10);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 1).key, "a");
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 2).value, "3");
    wasmill_test_set_clock(t, 49);
    WASMILL_CHECK(wasmill_test_output_count(t) == 0);
    wasmill_test_set_clock(t, 50);
    WASMILL_CHECK(wasmill_test_output_count(t) == 3);
    wasmill_test_set_clock(t, 60);
    WASMILL_CHECK(wasmill_test_output_count(t) == 0 && wasmill_test_timer_count(t) == 0);
    /* A timer that fails leaves nothing, and is gone. */
    RUN(t, record("e", "timer!", 12), record("e", "timer", 10));
    wasmill_test_advance(t, 30);
    WASMILL_CHECK(wasmill_test_output_count(t) == 0 && wasmill_test_failure_count(t) == 1);
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).code), "error");
    WASMILL_CHECK(wasmill_test_stored(t, OWN, wasmill_text("e")).data == NULL);
    wasmill_test_free(t);
}

static void results_do_not_depend_on_the_batches(void) {
    wasmill_test *t = wasmill_test_new(&PLUGIN, "{}", 0);
    /* The timer for 10 fires before the second record, though the third sets it for 15. */
    RUN(t, record("a", "timer", 0), record("b", "add", 12), record("a", "timer", 5), record("a", "when", 12));
    WASMILL_CHECK(wasmill_test_output_count(t) == 3);
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_output_at(t, 0).timer), "later");
    WASMILL_CHECK(wasmill_test_output_at(t, 0).timestamp == 10);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 0).value, "1");
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 1).value, "2");
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 2).value, "15");
    /* So it does when the third takes it back. */
    RUN(t, record("c", "timer", 13), record("d", "add", 30), record("c", "cancel", 14), record("c", "when", 30));
    WASMILL_CHECK(wasmill_test_output_count(t) == 4);
    WASMILL_CHECK(wasmill_test_output_at(t, 0).timestamp == 15 && wasmill_test_output_at(t, 1).timestamp == 23);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 3).value, "-1");
    /* What was undone and run again is counted once. */
    WASMILL_CHECK(wasmill_test_metric(t, "seen_total") == 8);
    wasmill_test_free(t);
}

static void many_keys_and_large_values(void) {
    enum { RECORDS = 5000 };
    static char keys[RECORDS][16];
    static wasmill_test_record records[RECORDS];
    for (int i = 0; i < RECORDS; i++) {
        snprintf(keys[i], sizeof keys[i], "key-%d", i % 1000);
        records[i] = record(keys[i], "add", 0);
    }
    wasmill_test *t = wasmill_test_new(&PLUGIN, "{}", 0);
    wasmill_test_run(t, records, RECORDS);
    WASMILL_CHECK(wasmill_test_output_count(t) == RECORDS && wasmill_test_entry_count(t) == 1001);
    WASMILL_CHECK(wasmill_equal(wasmill_test_stored(t, OWN, wasmill_text("key-7")), wasmill_bytes_of("\5\0\0\0\0\0\0\0", 8)));
    wasmill_test_free(t);
}

static void texts_are_made_valid(void) {
    static const struct {
        const char *text;
        size_t valid;
    } CASES[] = {
        {"plain text", 10},      {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9}, {"a\xC0\x80", 1}, {"a\xED\xA0\x80", 1},
        {"12345678\xF4\x90\x80\x80", 8}, {"\xE2\x82", 0}, {"\xF5\x80\x80\x80", 0}, {"\xF0\x8F\xBF\xBF", 0}, {"\x80", 0},
    };
    for (size_t i = 0; i < WASMILL_COUNT(CASES); i++) {
        WASMILL_CHECK(wm_valid_utf8(CASES[i].text, strlen(CASES[i].text)) == CASES[i].valid);
    }
    wm_arena arena = {NULL};
    WASMILL_CHECK_TEXT(wm_lossy(&arena, wasmill_text("a\xFFz\xC3")), "a\xEF\xBF\xBDz\xEF\xBF\xBD");
    wm_arena_free(&arena);
}

static void json_is_pointed_at(void) {
    static const char JSON[] = "{\"a/b\":[10,{\"~\":1}],\"x\":1,\"x\":2,\"\":3}";
    yyjson_doc *doc = yyjson_read(JSON, sizeof JSON - 1, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    WASMILL_CHECK(yyjson_get_int(wasmill_json_at(root, wasmill_text("/a~1b/0"))) == 10);
    WASMILL_CHECK(yyjson_get_int(wasmill_json_at(root, wasmill_text("/a~1b/1/~0"))) == 1);
    WASMILL_CHECK(yyjson_get_int(wasmill_json_at(root, wasmill_text("/x"))) == 2);
    WASMILL_CHECK(yyjson_get_int(wasmill_json_at(root, wasmill_text("/"))) == 3);
    WASMILL_CHECK(wasmill_json_at(root, wasmill_text("")) == root);
    static const char *const NOTHING[] = {"x", "/y", "/a~1b/00", "/a~1b/2", "/a~1b/-", "/x/0", "/a~1b/99999999999"};
    for (size_t i = 0; i < WASMILL_COUNT(NOTHING); i++) {
        WASMILL_CHECK(wasmill_json_at(root, wasmill_text(NOTHING[i])) == NULL);
    }
    yyjson_doc_free(doc);
}

int main(void) {
    a_record_is_atomic();
    failures_have_their_codes();
    outputs_inherit_what_they_are_not_given();
    timers_fire_once_and_in_order();
    results_do_not_depend_on_the_batches();
    many_keys_and_large_values();
    texts_are_made_valid();
    json_is_pointed_at();
    queries_and_migrations();
    return wasmill_test_result();
}
