/* Runs a plugin's test vectors (plugins/vectors/README.md) as plain functions: whole batches, then
 * one record at a time. The same table goes through the real host with the component. */
#include <stdio.h>
#include <stdlib.h>

#include "wasmill_test.h"

static const char *name_of_case;
static int wrong;

static void tell(const char *what, size_t step, size_t i) {
    wrong++;
    fprintf(stderr, "case `%s`, step %zu, entry %zu: %s\n", name_of_case, step, i, what);
}

static void *room(size_t size) {
    void *ptr = calloc(1, size + 1);
    if (ptr == NULL) {
        abort();
    }
    return ptr;
}

static wasmill_bytes text_of(yyjson_val *text) {
    return wasmill_bytes_of(yyjson_get_str(text), yyjson_get_len(text));
}

/* Bytes as the table writes them. */
static wasmill_bytes bytes_of(yyjson_val *value) {
    if (value == NULL || yyjson_is_null(value)) {
        return wasmill_null();
    }
    if (yyjson_is_str(value)) {
        return text_of(value);
    }
    yyjson_val *hex = yyjson_obj_get(value, "hex");
    if (hex == NULL) {
        size_t len = 0;
        char *json = yyjson_val_write(yyjson_obj_get(value, "json"), 0, &len);
        return wasmill_bytes_of(json, len);
    }
    size_t len = yyjson_get_len(hex) / 2;
    char *data = room(len);
    for (size_t i = 0; i < len; i++) {
        char digits[3] = {yyjson_get_str(hex)[i * 2], yyjson_get_str(hex)[i * 2 + 1], 0};
        data[i] = (char)strtoul(digits, NULL, 16);
    }
    return wasmill_bytes_of(data, len);
}

static bool same_json(yyjson_val *a, yyjson_val *b) {
    if (yyjson_is_num(a) && yyjson_is_num(b)) {
        double x = yyjson_get_num(a);
        double y = yyjson_get_num(b);
        return memcmp(&x, &y, sizeof x) == 0;
    }
    if (yyjson_get_type(a) != yyjson_get_type(b)) {
        return false;
    }
    size_t i;
    size_t count;
    yyjson_val *key;
    yyjson_val *value;
    if (yyjson_is_obj(a)) {
        yyjson_obj_foreach(a, i, count, key, value) {
            if (!same_json(value, yyjson_obj_getn(b, yyjson_get_str(key), yyjson_get_len(key)))) {
                return false;
            }
        }
        return yyjson_obj_size(a) == yyjson_obj_size(b);
    }
    if (yyjson_is_arr(a)) {
        yyjson_arr_foreach(a, i, count, value) {
            if (!same_json(value, yyjson_arr_get(b, i))) {
                return false;
            }
        }
        return yyjson_arr_size(a) == yyjson_arr_size(b);
    }
    return yyjson_equals(a, b);
}

static bool same(wasmill_bytes given, yyjson_val *expected) {
    yyjson_val *json = yyjson_is_obj(expected) ? yyjson_obj_get(expected, "json") : NULL;
    if (json == NULL) {
        return wasmill_equal(given, bytes_of(expected));
    }
    yyjson_doc *doc = given.data == NULL ? NULL : yyjson_read(given.data, given.len, 0);
    return doc != NULL && same_json(json, yyjson_doc_get_root(doc));
}

static int64_t time_of(yyjson_val *object) {
    yyjson_val *time = yyjson_obj_get(object, "timestamp");
    return time == NULL ? 0 : yyjson_is_null(time) ? -1 : yyjson_get_sint(time);
}

static wasmill_test_record record_of(yyjson_val *own) {
    yyjson_val *headers = yyjson_obj_get(own, "headers");
    wasmill_header *list = room(yyjson_arr_size(headers) * sizeof *list);
    for (size_t i = 0; i < yyjson_arr_size(headers); i++) {
        list[i].name = text_of(yyjson_arr_get(yyjson_arr_get(headers, i), 0));
        list[i].value = bytes_of(yyjson_arr_get(yyjson_arr_get(headers, i), 1));
    }
    wasmill_test_record record = {
        .key = bytes_of(yyjson_obj_get(own, "key")),
        .value = bytes_of(yyjson_obj_get(own, "value")),
        .timestamp = time_of(own),
        .headers = list,
        .header_count = yyjson_arr_size(headers),
    };
    return record;
}

static void check_output(wasmill_test_output own, size_t parent, yyjson_val *expected, size_t step, size_t i) {
    const char *timer = yyjson_get_str(yyjson_obj_get(expected, "timer"));
    if ((timer == NULL) != (own.timer == NULL) || (timer != NULL && strcmp(timer, own.timer) != 0) ||
        (timer == NULL && parent != yyjson_get_uint(yyjson_obj_get(expected, "parent")))) {
        tell("another parent", step, i);
    }
    if (!wasmill_equal(wasmill_text(own.port), text_of(yyjson_obj_get(expected, "port")))) {
        tell("another port", step, i);
    }
    if (!same(own.key, yyjson_obj_get(expected, "key"))) {
        tell("another key", step, i);
    }
    if (!same(own.value, yyjson_obj_get(expected, "value"))) {
        tell("another value", step, i);
        fprintf(stderr, "    %.*s\n", WASMILL_ARG(own.value));
    }
    if (own.timestamp != time_of(expected)) {
        tell("another timestamp", step, i);
    }
    yyjson_val *headers = yyjson_obj_get(expected, "headers");
    bool equal = yyjson_arr_size(headers) == own.header_count;
    for (size_t h = 0; equal && h < own.header_count; h++) {
        yyjson_val *header = yyjson_arr_get(headers, h);
        equal = same(own.headers[h].name, yyjson_arr_get(header, 0)) && same(own.headers[h].value, yyjson_arr_get(header, 1));
    }
    if (!equal) {
        tell("other headers", step, i);
    }
}

static void run_step(wasmill_test *t, yyjson_val *own, size_t step, bool one_by_one) {
    yyjson_val *records = yyjson_obj_get(own, "records");
    yyjson_val *outputs = yyjson_obj_get(own, "outputs");
    yyjson_val *failures = yyjson_obj_get(own, "failures");
    size_t count = yyjson_arr_size(records);
    wasmill_test_record *list = room(count * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        list[i] = record_of(yyjson_arr_get(records, i));
    }
    size_t given = 0;
    size_t failed = 0;
    for (size_t first = 0; first < count; first += one_by_one ? 1 : count) {
        wasmill_test_run(t, list + first, one_by_one ? 1 : count);
        for (size_t i = 0; i < wasmill_test_output_count(t); i++, given++) {
            wasmill_test_output output = wasmill_test_output_at(t, i);
            check_output(output, first + output.parent, yyjson_arr_get(outputs, given), step, given);
        }
        for (size_t i = 0; i < wasmill_test_failure_count(t); i++, failed++) {
            wasmill_test_failure failure = wasmill_test_failure_at(t, i);
            yyjson_val *expected = yyjson_arr_get(failures, failed);
            if (first + failure.index != yyjson_get_uint(yyjson_obj_get(expected, "index")) ||
                !wasmill_equal(wasmill_text(failure.code), text_of(yyjson_obj_get(expected, "code")))) {
                tell("another failure", step, failed);
                fprintf(stderr, "    record %zu, %s: %s\n", first + failure.index, failure.code, failure.message);
            }
        }
    }
    if (given != yyjson_arr_size(outputs) || failed != yyjson_arr_size(failures)) {
        tell("another number of outputs or failures", step, given);
    }
}

static uint32_t store_of(yyjson_val *name) {
    uint32_t store = 0;
    while (!wasmill_equal(wasmill_text(wasmill_exported()->stores.list[store].name), text_of(name))) {
        store++;
    }
    return store;
}

static void fill(wasmill_test *t, yyjson_val *stored) {
    size_t i;
    size_t count;
    yyjson_val *name;
    yyjson_val *entries;
    yyjson_obj_foreach(stored, i, count, name, entries) {
        size_t k;
        size_t size;
        yyjson_val *key;
        yyjson_val *value;
        yyjson_obj_foreach(entries, k, size, key, value) {
            wasmill_test_store(t, store_of(name), text_of(key), bytes_of(value));
        }
    }
}

static void check_end(wasmill_test *t, yyjson_val *own) {
    size_t i;
    size_t count;
    yyjson_val *name;
    yyjson_val *entries;
    size_t expected = 0;
    yyjson_obj_foreach(yyjson_obj_get(own, "state"), i, count, name, entries) {
        uint32_t store = store_of(name);
        size_t k;
        size_t size;
        yyjson_val *key;
        yyjson_val *value;
        yyjson_obj_foreach(entries, k, size, key, value) {
            expected++;
            if (!same(wasmill_test_stored(t, store, text_of(key)), value)) {
                tell("another state", 0, k);
            }
        }
    }
    if (expected != wasmill_test_entry_count(t)) {
        tell("another number of entries in the state", 0, wasmill_test_entry_count(t));
    }
    yyjson_val *timers = yyjson_obj_get(own, "timers");
    bool equal = yyjson_arr_size(timers) == wasmill_test_timer_count(t);
    for (i = 0; equal && i < yyjson_arr_size(timers); i++) {
        wasmill_test_timer timer = wasmill_test_timer_at(t, i);
        yyjson_val *timer_of = yyjson_arr_get(timers, i);
        equal = same(timer.key, yyjson_obj_get(timer_of, "key")) && same(timer.name, yyjson_obj_get(timer_of, "name")) &&
                timer.time == yyjson_get_sint(yyjson_obj_get(timer_of, "time"));
    }
    if (!equal) {
        tell("other timers", 0, 0);
    }
}

static void run_case(yyjson_val *own, bool one_by_one) {
    yyjson_val *config = yyjson_obj_get(own, "config");
    char *json = config == NULL ? "{}" : yyjson_val_write(config, 0, NULL);
    name_of_case = yyjson_get_str(yyjson_obj_get(own, "name"));
    wasmill_test *t =
        wasmill_test_new(wasmill_exported(), json, yyjson_get_sint(yyjson_obj_get(own, "lateness_ms")));
    yyjson_val *problems = yyjson_obj_get(own, "problems");
    bool equal = yyjson_arr_size(problems) == wasmill_test_problem_count(t);
    for (size_t i = 0; equal && i < yyjson_arr_size(problems); i++) {
        equal = false; /* they come in any order */
        for (size_t k = 0; !equal && k < wasmill_test_problem_count(t); k++) {
            equal = same(wasmill_text(wasmill_test_problem_pointer(t, k)), yyjson_arr_get(problems, i));
        }
    }
    if (!equal) {
        tell("other problems", 0, wasmill_test_problem_count(t));
    } else if (problems == NULL) {
        fill(t, yyjson_obj_get(own, "stored"));
        for (size_t i = 0; i < yyjson_arr_size(yyjson_obj_get(own, "steps")); i++) {
            run_step(t, yyjson_arr_get(yyjson_obj_get(own, "steps"), i), i, one_by_one);
        }
        check_end(t, own);
    }
    wasmill_test_free(t);
}

int main(int argc, char **argv) {
    yyjson_read_err error;
    yyjson_doc *doc = argc == 2 ? yyjson_read_file(argv[1], 0, NULL, &error) : NULL;
    if (doc == NULL) {
        fprintf(stderr, "usage: vectors FILE.json, a file of plugins/vectors\n");
        return 2;
    }
    yyjson_val *cases = yyjson_doc_get_root(doc);
    for (size_t i = 0; i < yyjson_arr_size(cases); i++) {
        run_case(yyjson_arr_get(cases, i), false);
        run_case(yyjson_arr_get(cases, i), true);
    }
    printf("%s: %zu cases, %d differences\n", argv[1], yyjson_arr_size(cases), wrong);
    return wrong > 0 || yyjson_arr_size(cases) == 0;
}
