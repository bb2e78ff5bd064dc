#include "wasmill_test.h"

static wasmill_test_record at(const char *key, int64_t timestamp) {
    wasmill_test_record record = {.key = wasmill_text(key), .timestamp = timestamp};
    return record;
}

int main(void) {
    wasmill_bytes a = wasmill_text("a");
    wasmill_test *t = wasmill_test_new(wasmill_exported(), "{\"gap_ms\":10}", 20);
    wasmill_test_record records[] = {at("a", 0), at("a", 18), at(NULL, 3), at("a", -1), at("a", 30)};
    wasmill_test_run(t, records, WASMILL_COUNT(records));
    /* The first session ends when the last record brings the watermark to 10. */
    WASMILL_CHECK(wasmill_test_output_count(t) == 1);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 0).value, "{\"key\":\"a\",\"start\":0,\"end\":0,\"count\":1}");
    WASMILL_CHECK(wasmill_test_output_at(t, 0).timestamp == 0);
    WASMILL_CHECK(wasmill_test_failure_count(t) == 2);
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).code), "no-key");
    WASMILL_CHECK(wasmill_test_failure_at(t, 0).index == 2);
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 1).code), "no-timestamp");
    WASMILL_CHECK_TEXT(wasmill_test_stored(t, 0, a), "[[18,18,1],[30,30,1]]");

    /* A record between two open sessions joins them. */
    wasmill_test_record between[] = {at("a", 24)};
    wasmill_test_run(t, between, 1);
    WASMILL_CHECK_TEXT(wasmill_test_stored(t, 0, a), "[[18,30,3]]");
    WASMILL_CHECK(wasmill_test_timer_count(t) == 1 && wasmill_test_timer_at(t, 0).time == 40);

    wasmill_test_advance(t, 59);
    WASMILL_CHECK(wasmill_test_output_count(t) == 0);
    wasmill_test_advance(t, 60);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 0).value, "{\"key\":\"a\",\"start\":18,\"end\":30,\"count\":3}");
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_output_at(t, 0).timer), "close");
    WASMILL_CHECK(wasmill_test_entry_count(t) == 0 && wasmill_test_timer_count(t) == 0);

    /* Late records are sessions that end at once, one by one. */
    wasmill_test_record late[] = {at("b", 1), at("b", 2)};
    wasmill_test_run(t, late, 2);
    WASMILL_CHECK(wasmill_test_output_count(t) == 2);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 1).value, "{\"key\":\"b\",\"start\":2,\"end\":2,\"count\":1}");
    wasmill_test_free(t);

    static const char *const WRONG[] = {"{}", "{\"gap_ms\":0}", "{\"gap_ms\":1.0}", "{\"gap_ms\":\"1\"}"};
    for (size_t i = 0; i < WASMILL_COUNT(WRONG); i++) {
        t = wasmill_test_new(wasmill_exported(), WRONG[i], 0);
        WASMILL_CHECK(wasmill_test_problem_count(t) == 1);
        WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_problem_pointer(t, 0)), "/gap_ms");
        wasmill_test_free(t);
    }
    return wasmill_test_result();
}
