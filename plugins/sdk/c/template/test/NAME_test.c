#include "wasmill_test.h"

static wasmill_test_record keyed(const char *key) {
    wasmill_test_record record = {.key = wasmill_text(key), .value = wasmill_text("x")};
    return record;
}

static void records_are_counted_by_key(void) {
    wasmill_test *t = wasmill_test_new(wasmill_exported(), "{}", 0);
    wasmill_test_record records[] = {keyed("a"), keyed("b"), keyed("a"), keyed(NULL)};
    wasmill_test_run(t, records, WASMILL_COUNT(records));
    WASMILL_CHECK(wasmill_test_output_count(t) == 3);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 0).value, "{\"key\":\"a\",\"count\":1}");
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 1).value, "{\"key\":\"b\",\"count\":1}");
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 2).value, "{\"key\":\"a\",\"count\":2}");
    WASMILL_CHECK(wasmill_test_failure_count(t) == 1);
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).code), "no-key");
    wasmill_test_free(t);
}

static void the_first_counts_can_be_left_out(void) {
    wasmill_test *t = wasmill_test_new(wasmill_exported(), "{\"least\":2}", 0);
    wasmill_test_record records[] = {keyed("a"), keyed("b"), keyed("a")};
    wasmill_test_run(t, records, WASMILL_COUNT(records));
    WASMILL_CHECK(wasmill_test_output_count(t) == 1);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 0).value, "{\"key\":\"a\",\"count\":2}");
    wasmill_test_free(t);
}

static void a_misspelt_option_is_found(void) {
    wasmill_test *t = wasmill_test_new(wasmill_exported(), "{\"lest\":2}", 0);
    WASMILL_CHECK(wasmill_test_problem_count(t) == 1);
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_problem_pointer(t, 0)), "/lest");
    wasmill_test_free(t);
}

int main(void) {
    records_are_counted_by_key();
    the_first_counts_can_be_left_out();
    a_misspelt_option_is_found();
    return wasmill_test_result();
}
