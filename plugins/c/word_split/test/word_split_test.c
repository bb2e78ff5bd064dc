#include "wasmill_test.h"

static wasmill_test_record value(const char *text) {
    wasmill_test_record record = {.key = wasmill_text("k"), .value = wasmill_text(text)};
    return record;
}

/* The words of a text, joined by `|`. */
static void check(const char *text, const char *expected) {
    wasmill_test *t = wasmill_test_new(wasmill_exported(), "{}", 0);
    wasmill_test_record record = value(text);
    wasmill_test_run(t, &record, 1);
    char joined[256] = "";
    for (size_t i = 0; i < wasmill_test_output_count(t); i++) {
        wasmill_test_output output = wasmill_test_output_at(t, i);
        WASMILL_CHECK(wasmill_equal(output.key, output.value));
        strncat(joined, i == 0 ? "" : "|", sizeof joined - strlen(joined) - 1);
        strncat(joined, output.value.data, sizeof joined - strlen(joined) - 1);
    }
    WASMILL_CHECK_TEXT(wasmill_text(joined), expected);
    wasmill_test_free(t);
}

int main(void) {
    check("Hello, world! 42nd_x", "hello|world|42nd|x");
    check("", "");
    check(" -- ' '' \u2019", "");
    check("NA\u00CFVE \u4f60\u597d e\u0301te\u0301 \u2161 x\u00b2", "na\u00efve|\u4f60\u597d|e\u0301te\u0301|\u2171|x\u00b2");
    check("don't 'quoted' rock'n'roll dogs' 5'6 a''b", "don't|quoted|rock'n'roll|dogs|5|6|a|b");
    check("l\u2019e\u0301te\u0301's", "l\u2019e\u0301te\u0301's");
    /* The final sigma: after a cased letter and before none. */
    check("\u039f\u03a3 \u03a3 \u039f\u03a3\u0391 \u039f\u03a3\u0301 \u039f\u03a31", "\u03bf\u03c2|\u03c3|\u03bf\u03c3\u03b1|\u03bf\u03c2\u0301|\u03bf\u03c21");
    check("\u0130X", "i\u0307x");

    static const char *const CONFIGS[] = {"{\"field\":\"text\"}", "{\"field\":\"/text\"}"};
    for (size_t i = 0; i < 2; i++) {
        wasmill_test *t = wasmill_test_new(wasmill_exported(), CONFIGS[i], 0);
        wasmill_test_record records[] = {
            value("{\"text\":\"One TWO\"}"), value("{\"txt\":\"x\"}"), value("{\"text\":1}"), value("no json"), value(NULL),
            value("{\"text\":\"a\",\"text\":\"b\"}")};
        wasmill_test_run(t, records, WASMILL_COUNT(records));
        WASMILL_CHECK(wasmill_test_output_count(t) == 3);
        WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 1).key, "two");
        WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 2).key, "b");
        WASMILL_CHECK(wasmill_test_failure_count(t) == 3);
        WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 0).code), "no-field");
        WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 1).code), "not-text");
        WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_failure_at(t, 2).code), "bad-json");
        wasmill_test_free(t);
    }

    wasmill_test *t = wasmill_test_new(wasmill_exported(), "{\"feild\":\"text\",\"field\":\"\"}", 0);
    WASMILL_CHECK(wasmill_test_problem_count(t) == 2);
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_problem_pointer(t, 0)), "/feild");
    WASMILL_CHECK_TEXT(wasmill_text(wasmill_test_problem_pointer(t, 1)), "/field");
    wasmill_test_free(t);
    return wasmill_test_result();
}
