#include "wasmill_test.h"

static const char CONFIG[] =
    "{\"fields\":{\"site\":\"x\",\"n\":[1]},\"headers\":{\"agent\":\"User-Agent\",\"host\":\"Host\"}}";

int main(void) {
    wasmill_test *t = wasmill_test_new(wasmill_exported(), CONFIG, 0);
    wasmill_header agents[] = {
        {wasmill_text("user-agent"), wasmill_text("old")},
        {wasmill_text("User-Agent"), wasmill_text("a\"b")},
    };
    wasmill_header null_host = {wasmill_text("host"), wasmill_null()};
    wasmill_header bad_host = {wasmill_text("host"), wasmill_text("\xff")};
    wasmill_test_record records[] = {
        {.value = wasmill_text("{\"big\":123456789012345678901234567890,\"site\":1.10, \"z\":{}}"),
         .headers = agents, .header_count = 2},
        {.value = wasmill_text("{}"), .headers = &null_host, .header_count = 1},
        {.key = wasmill_text("k")},
        {.value = wasmill_text("[1]")},
        {.value = wasmill_text("")},
        {.value = wasmill_text("{}"), .headers = &bad_host, .header_count = 1},
        {.value = wasmill_text("{\"site\":1,\"site\":2}")},
    };
    wasmill_test_run(t, records, WASMILL_COUNT(records));
    WASMILL_CHECK(wasmill_test_output_count(t) == 4);
    WASMILL_CHECK_TEXT(
        wasmill_test_output_at(t, 0).value,
        "{\"big\":123456789012345678901234567890,\"site\":\"x\",\"z\":{},\"n\":[1],\"agent\":\"a\\\"b\"}");
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 1).value, "{\"site\":\"x\",\"n\":[1],\"host\":null}");
    WASMILL_CHECK(wasmill_test_output_at(t, 2).value.data == NULL);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 3).value, "{\"site\":\"x\",\"n\":[1]}");
    static const char *const CODES[] = {"bad-json", "bad-json", "bad-utf8"};
    WASMILL_CHECK(wasmill_test_failure_count(t) == 3);
    for (size_t i = 0; i < 3; i++) {
        WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, i).code), CODES[i]);
    }
    wasmill_test_free(t);

    t = wasmill_test_new(wasmill_exported(), "{\"fields\":{\"a/b\":1},\"headers\":{\"a/b\":\"A\",\"c\":1},\"x\":{}}", 0);
    WASMILL_CHECK(wasmill_test_problem_count(t) == 3);
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_problem_pointer(t, 0)), "/x");
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_problem_pointer(t, 1)), "/headers/a~1b");
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_problem_pointer(t, 2)), "/headers/c");
    wasmill_test_free(t);
    return wasmill_test_result();
}
