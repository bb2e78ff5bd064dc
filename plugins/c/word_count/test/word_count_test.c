#include "wasmill_test.h"

static wasmill_test_record keyed(wasmill_bytes key) {
    wasmill_test_record record = {.key = key, .value = wasmill_text("")};
    return record;
}

int main(void) {
    wasmill_test *t = wasmill_test_new(wasmill_exported(), "{}", 0);
    wasmill_bytes a = wasmill_text("a");
    wasmill_test_record first[] = {keyed(a), keyed(wasmill_text("b")), keyed(a)};
    wasmill_test_run(t, first, 3);
    WASMILL_CHECK(wasmill_test_output_count(t) == 3);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 0).value, "{\"word\":\"a\",\"count\":1}");
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 1).value, "{\"word\":\"b\",\"count\":1}");
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 2).value, "{\"word\":\"a\",\"count\":2}");
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 2).key, "a");
    WASMILL_CHECK(wasmill_test_host_calls(t) == 2);

    wasmill_test_record second[] = {keyed(wasmill_null()), keyed(a), keyed(wasmill_bytes_of("\xff", 1))};
    wasmill_test_run(t, second, 3);
    WASMILL_CHECK(wasmill_test_output_count(t) == 1);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 0).value, "{\"word\":\"a\",\"count\":3}");
    WASMILL_CHECK(wasmill_test_failure_count(t) == 2);
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).code), "no-key");
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 1).code), "bad-utf8");
    WASMILL_CHECK(wasmill_equal(wasmill_test_stored(t, 0, a), wasmill_bytes_of("\3\0\0\0\0\0\0\0", 8)));
    wasmill_test_free(t);

    t = wasmill_test_new(wasmill_exported(), "{\"a\":1}", 0);
    WASMILL_CHECK(wasmill_test_problem_count(t) == 1);
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_problem_pointer(t, 0)), "/a");
    wasmill_test_free(t);
    return wasmill_test_result();
}
