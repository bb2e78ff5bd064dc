#include "wasmill_test.h"

static wasmill_test_record reading(const char *key, const char *value) {
    wasmill_test_record record = {.key = wasmill_text(key), .value = wasmill_text(value)};
    return record;
}

static const char *code(wasmill_test *t, size_t i) {
    return wasmill_test_failure_at(t, i).code;
}

int main(void) {
    wasmill_test *t = wasmill_test_new(wasmill_exported(), "{}", 0);
    wasmill_test_record first[] = {
        reading("a", "{\"room\":\"a\",\"temp\":20,\"ts\":7,\"more\":[]}"),
        reading("b", "{\"room\":\"b\",\"temp\":1.5,\"ts\":7}"),
        reading("b", "{\"room\":\"a\",\"temp\":21,\"ts\":7}"),
        reading("a", "{\"room\":\"\\u0061\",\"temp\":22.0,\"ts\":7}"),
    };
    wasmill_test_run(t, first, WASMILL_COUNT(first));
    WASMILL_CHECK(wasmill_test_output_count(t) == 3);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 0).value,
                       "{\"room\":\"a\",\"temp\":20.0,\"delta\":null,\"avg\":20.0,\"count\":1,\"ts\":7}");
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 1).value,
                       "{\"room\":\"b\",\"temp\":1.5,\"delta\":null,\"avg\":1.5,\"count\":1,\"ts\":7}");
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 2).value,
                       "{\"room\":\"a\",\"temp\":22.0,\"delta\":2.0,\"avg\":21.0,\"count\":2,\"ts\":7}");
    WASMILL_CHECK(wasmill_test_failure_count(t) == 1);
    WASMILL_CHECK_TEXT(wasmill_text(code(t, 0)), "wrong-key");

    wasmill_test_record second[] = {
        reading("a", "{}"),
        reading(NULL, "{}"),
        reading("a", NULL),
        reading("a", "{\"room\":\"a\",\"temp\":1e400,\"ts\":7}"),
        reading("a", "{\"room\":\"a\",\"room\":\"a\",\"temp\":1,\"ts\":7}"),
        reading("a", "{\"room\":\"a\",\"temp\":1,\"ts\":7.5}"),
        reading("a", "{\"room\":\"a\",\"temp\":1,\"ts\":9223372036854775808}"),
        reading("a", "{\"room\":\"\\ud800\",\"temp\":1,\"ts\":7}"),
        reading("a", "{\"room\":\"a\",\"temp\":0,\"ts\":-7}"),
    };
    wasmill_test_run(t, second, WASMILL_COUNT(second));
    WASMILL_CHECK(wasmill_test_output_count(t) == 1);
    WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 0).value,
                       "{\"room\":\"a\",\"temp\":0.0,\"delta\":-22.0,\"avg\":14.0,\"count\":3,\"ts\":-7}");
    static const char *const CODES[] = {
        "bad-json", "no-key", "no-value", "bad-json", "bad-json", "bad-json", "bad-json", "bad-json"};
    WASMILL_CHECK(wasmill_test_failure_count(t) == WASMILL_COUNT(CODES));
    for (size_t i = 0; i < WASMILL_COUNT(CODES); i++) {
        WASMILL_CHECK_TEXT(wasmill_text(code(t, i)), CODES[i]);
    }

    wasmill_test_record large[] = {
        reading("c", "{\"room\":\"c\",\"temp\":1.7e308,\"ts\":0}"),
        reading("c", "{\"room\":\"c\",\"temp\":1.7e308,\"ts\":1}"),
    };
    wasmill_test_run(t, large, WASMILL_COUNT(large));
    WASMILL_CHECK(wasmill_test_output_count(t) == 1);
    WASMILL_CHECK_TEXT(wasmill_text(code(t, 0)), "out-of-range");
    wasmill_test_free(t);
    return wasmill_test_result();
}
