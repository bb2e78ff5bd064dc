#include <stdio.h>

#include "wasmill_test.h"

static wasmill_test_record keyed(wasmill_bytes key) {
    wasmill_test_record record = {.key = key, .value = wasmill_text("")};
    return record;
}

static void answers(void) {
    wasmill_test *t = wasmill_test_new(wasmill_exported(), "{}", 0);
    WASMILL_CHECK_TEXT(wasmill_test_ask(t, "top").body, "[]");
    /* More than one page of them. */
    char word[16];
    for (int i = 0; i < 2500; i++) {
        snprintf(word, sizeof word, "w%04d", i);
        wasmill_test_record one[] = {keyed(wasmill_text(word))};
        wasmill_test_run(t, one, 1);
    }
    wasmill_bytes quoted = wasmill_text("\"a\"");
    wasmill_test_record more[] = {keyed(wasmill_text("w2400")), keyed(wasmill_text("w1200")), keyed(quoted),
                                  keyed(quoted), keyed(quoted), keyed(wasmill_text("w2400"))};
    wasmill_test_run(t, more, WASMILL_COUNT(more));
    static const struct {
        const char *path;
        int status;
        const char *body;
    } CASES[] = {
        {"count/\"a\"", 200, "{\"word\":\"\\\"a\\\"\",\"count\":3}"},
        {"count/b", 200, "{\"word\":\"b\",\"count\":0}"},
        {"top?n=4", 200,
         "[{\"word\":\"\\\"a\\\"\",\"count\":3},{\"word\":\"w2400\",\"count\":3},{\"word\":\"w1200\",\"count\":2},"
         "{\"word\":\"w0000\",\"count\":1}]"},
        {"top?n=0", 400, "`n` is a number from 1 to 1000"},
        {"top?n=1001", 400, "`n` is a number from 1 to 1000"},
        {"top?n=+5", 400, "`n` is a number from 1 to 1000"},
        {"top?n=1x", 400, "`n` is a number from 1 to 1000"},
        {"top?n=18446744073709551617", 400, "`n` is a number from 1 to 1000"},
        {"top?n=", 400, "`n` is a number from 1 to 1000"},
        {"", 404, "ask for count/WORD or top?n=10"},
        {"top/1", 404, "ask for count/WORD or top?n=10"},
    };
    for (size_t i = 0; i < WASMILL_COUNT(CASES); i++) {
        wasmill_test_answer given = wasmill_test_ask(t, CASES[i].path);
        WASMILL_CHECK(given.status == CASES[i].status);
        WASMILL_CHECK_TEXT(given.body, CASES[i].body);
    }
    wasmill_test_answer top = wasmill_test_ask(t, "top");
    size_t words = 0;
    for (const char *at = top.body.data; (at = strstr(at, "word")) != NULL; at++) {
        words++;
    }
    WASMILL_CHECK(words == 10);
    WASMILL_CHECK(wasmill_test_ask(t, "top?n=1000").status == 200);
    wasmill_test_free(t);
}

int main(void) {
    answers();
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
