#include "wasmill_test.h"

static const wasmill_bytes SEVEN = {"\7\0\0\0\0\0\0\0", 8};
static const wasmill_bytes ZERO = {"\0\0\0\0\0\0\0\0", 8};

static void numbers_become_objects(void) {
    wasmill_test *t = wasmill_test_new(wasmill_exported(), "{}", 0);
    wasmill_test_store(t, 0, wasmill_text("room-1"), SEVEN);
    wasmill_test_store(t, 0, wasmill_text("room-2"), ZERO);
    WASMILL_CHECK(wasmill_test_migrate(t, 0));
    WASMILL_CHECK(wasmill_test_entry_count(t) == 1);
    WASMILL_CHECK_TEXT(wasmill_test_stored(t, 0, wasmill_text("room-1")), "{\"count\":7}");
    wasmill_test_record records[] = {{.key = wasmill_text("room-1")}, {.key = wasmill_text("room-3")}};
    wasmill_test_run(t, records, 2);
    WASMILL_CHECK(wasmill_test_failure_count(t) == 0);

    WASMILL_CHECK_TEXT(wasmill_test_ask(t, "seen/room-1").body, "{\"count\":8}");
    WASMILL_CHECK_TEXT(wasmill_test_ask(t, "seen/room-3").body, "{\"count\":1}");
    WASMILL_CHECK(wasmill_test_ask(t, "seen/room-2").status == 404);
    WASMILL_CHECK_TEXT(wasmill_test_ask(t, "many/room-3/room-2").body, "[{\"count\":1},null]");
    WASMILL_CHECK_TEXT(wasmill_test_ask(t, "many").body, "[]");
    wasmill_test_store_of(t, "old", "seen", wasmill_text("room-1"), SEVEN);
    wasmill_test_store_of(t, "old", "seen", wasmill_text("room-2"), ZERO);
    wasmill_test_store_of(t, "old", "seen", wasmill_text("room-3"), SEVEN);
    wasmill_test_store_of(t, "old", "seen", wasmill_text("room-4"), SEVEN);
    WASMILL_CHECK_TEXT(wasmill_test_ask(t, "seen-of/old/room-1").body, "7");
    WASMILL_CHECK_TEXT(wasmill_test_ask(t, "seen-of/none/room-1").body, "null");
    WASMILL_CHECK_TEXT(wasmill_test_ask(t, "all-of/old").body, "{\"room-2\":0,\"room-3\":7}");
    WASMILL_CHECK_TEXT(wasmill_test_ask(t, "all-of/none").body, "{}");
    WASMILL_CHECK_TEXT(wasmill_test_ask(t, "many-of/old/none/room-1").body, "[null,7]");
    WASMILL_CHECK_TEXT(wasmill_test_ask(t, "now").body, "0");
    WASMILL_CHECK(wasmill_test_ask(t, "now").status == 299);
    WASMILL_CHECK(wasmill_test_ask(t, "refuse").status == 0);
    WASMILL_CHECK(wasmill_test_ask(t, "").status == 404);

    WASMILL_CHECK(!wasmill_test_migrate(t, 1));
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).code), "no-version");
    wasmill_test_free(t);
}

static void it_refuses_as_configured(void) {
    wasmill_test *t = wasmill_test_new(wasmill_exported(), "{\"refuse\":true}", 0);
    wasmill_test_store(t, 0, wasmill_text("room-1"), SEVEN);
    wasmill_test_store(t, 0, wasmill_text("room-2"), SEVEN);
    WASMILL_CHECK(!wasmill_test_migrate(t, 0));
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).code), "no-mood");
    WASMILL_CHECK(wasmill_equal(wasmill_test_stored(t, 0, wasmill_text("room-1")), SEVEN));
    wasmill_test_free(t);
}

int main(void) {
    numbers_become_objects();
    it_refuses_as_configured();
    return wasmill_test_result();
}
