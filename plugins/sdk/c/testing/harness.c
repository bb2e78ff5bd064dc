/* Runs batches, fires timers, and keeps what came of them. */
#include <stdio.h>
#include <stdlib.h>

#include "testing.h"

static int checks;
static int failed_checks;

void wasmill_test_check(bool holds, const char *what, const char *file, int line) {
    checks++;
    if (!holds) {
        failed_checks++;
        fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    }
}

void wasmill_test_check_text(wasmill_bytes bytes, const char *text, const char *what, const char *file, int line) {
    checks++;
    if (!wasmill_equal(bytes, wasmill_text(text))) {
        failed_checks++;
        fprintf(stderr, "%s:%d: %s is %s%.*s%s, not %s\n", file, line, what, bytes.data ? "`" : "null",
                WASMILL_ARG(bytes), bytes.data ? "`" : "", text ? text : "null");
    }
}

int wasmill_test_result(void) {
    printf("%d checks, %d failed\n", checks, failed_checks);
    return failed_checks > 0 || checks == 0;
}

wasmill_test *wasmill_test_new(const wasmill_plugin *plugin, const char *config, int64_t lateness_ms) {
    wasmill_test *t = calloc(1, sizeof *t);
    if (t == NULL) {
        abort();
    }
    t->plugin = plugin;
    t->lateness_ms = lateness_ms;
    t->stream_time = -1;
    wmt_current = t;
    t->ctx = wm_configure(plugin, wasmill_text(config), &t->problems);
    return t;
}

void wasmill_test_free(wasmill_test *t) {
    if (t->ctx != NULL) {
        wm_free(t->ctx);
    }
    for (size_t i = 0; i < t->problems.len; i++) {
        free(t->problems.ptr[i].pointer.ptr);
        free(t->problems.ptr[i].message.ptr);
    }
    free(t->problems.ptr);
    wm_arena_free(&t->lasting);
    wm_arena_free(&t->results);
    free(t->entries.list);
    free(t->peers.list);
    free(t->timers.list);
    free(t->metrics.list);
    free(t->outputs.list);
    free(t->failures.list);
    free(t);
}

int64_t wmt_watermark(const wasmill_test *t, int64_t stream_time) {
    return stream_time < t->lateness_ms ? -1 : stream_time - t->lateness_ms;
}

/* ---- One call ---- */

static void free_column(wasmill_plugin_types_column_t *column) {
    free(column->data.ptr);
    free(column->ends.ptr);
    free(column->marks.ptr);
}

static void free_outbound(wasmill_plugin_types_outbound_t *out) {
    free(out->parents.ptr);
    free(out->ports.ptr);
    free_column(&out->keys);
    free_column(&out->values);
    free(out->timestamps.ptr);
    free(out->headers.ends.ptr);
    free_column(&out->headers.names);
    free_column(&out->headers.values);
    free(out->headers.marks.ptr);
    for (size_t i = 0; i < out->failures.len; i++) {
        free(out->failures.ptr[i].code.ptr);
        free(out->failures.ptr[i].message.ptr);
        free(out->failures.ptr[i].detail.ptr);
    }
    free(out->failures.ptr);
}

/* The entry of an output, its parent's where it is inherited. */
static wasmill_bytes inherited(
    wasmill_test *t, const wasmill_plugin_types_column_t *own, size_t i, wasmill_bytes parent) {
    bool inherits = i >= own->ends.len || (i < own->marks.len && own->marks.ptr[i] == WM_INHERITED);
    wasmill_bytes bytes = inherits ? parent : wm_entry(own, i);
    return bytes.data == NULL ? bytes : wm_arena_copy(&t->results, bytes);
}

/* Keeps what came of a call. `first`: the index of its first record; `timer`: the one that fired. */
static void keep(
    wasmill_test *t, wasmill_plugin_types_outbound_t *out, const wasmill_test_record *records, size_t first,
    const wasmill_test_timer *timer) {
    const wasmill_port *ports;
    wm_ports(t->plugin, &ports);
    const char *name = timer == NULL ? NULL : timer->name.data;
    for (size_t i = 0; i < out->count; i++) {
        size_t parent = first + (i < out->parents.len ? out->parents.ptr[i] : i);
        wasmill_bytes key = timer == NULL ? records[parent].key : timer->key;
        wasmill_bytes value = timer == NULL ? records[parent].value : wasmill_null();
        int64_t time = timer == NULL ? records[parent].timestamp : timer->time;
        size_t start = i == 0 || out->headers.ends.len == 0 ? 0 : out->headers.ends.ptr[i - 1];
        size_t end = i < out->headers.ends.len ? out->headers.ends.ptr[i] : 0;
        wasmill_header *headers = wm_arena_alloc(&t->results, (end - start) * sizeof *headers);
        for (size_t h = start; h < end; h++) {
            headers[h - start].name = inherited(t, &out->headers.names, h, wasmill_null());
            headers[h - start].value = inherited(t, &out->headers.values, h, wasmill_null());
        }
        wasmill_test_output output = {
            .parent = timer == NULL ? parent : 0,
            .timer = name,
            .port = ports[i < out->ports.len ? out->ports.ptr[i] : 0].name,
            .key = inherited(t, &out->keys, i, key),
            .value = inherited(t, &out->values, i, value),
            .timestamp = i < out->timestamps.len ? out->timestamps.ptr[i] : time,
            .headers = headers,
            .header_count = end - start,
        };
        WM_PUSH(t->outputs, output);
    }
    for (size_t i = 0; i < out->failures.len; i++) {
        const wasmill_plugin_types_failure_t *own = &out->failures.ptr[i];
        wasmill_test_failure failure = {
            .index = timer == NULL ? first + own->index : 0,
            .timer = name,
            .code = wmt_text(&t->results, own->code.ptr, own->code.len),
            .message = wmt_text(&t->results, own->message.ptr, own->message.len),
            .detail = wmt_text(&t->results, own->detail.ptr, own->detail.len),
        };
        WM_PUSH(t->failures, failure);
    }
}

static void push_null_or(wm_column *column, wasmill_bytes bytes) {
    wm_column_push(column, bytes.data == NULL ? WM_NULL : WM_BYTES, bytes);
}

/* Runs records as one batch. */
static void call(wasmill_test *t, const wasmill_test_record *records, size_t first, size_t count) {
    wm_column keys = {0};
    wm_column values = {0};
    wm_column names = {0};
    wm_column header_values = {0};
    int64_t *timestamps = wm_arena_alloc(&t->results, count * sizeof *timestamps);
    int64_t *offsets = wm_arena_alloc(&t->results, count * sizeof *offsets);
    uint32_t *header_ends = wm_arena_alloc(&t->results, count * sizeof *header_ends);
    uint8_t *inputs = wm_arena_alloc(&t->results, count);
    t->stream_times = wm_arena_alloc(&t->results, count * sizeof *t->stream_times);
    for (size_t i = 0; i < count; i++) {
        const wasmill_test_record *record = &records[first + i];
        push_null_or(&keys, record->key);
        push_null_or(&values, record->value);
        timestamps[i] = record->timestamp;
        inputs[i] = (uint8_t)record->input;
        offsets[i] = t->offset + (int64_t)i;
        for (size_t h = 0; h < record->header_count; h++) {
            push_null_or(&names, record->headers[h].name);
            push_null_or(&header_values, record->headers[h].value);
        }
        header_ends[i] = (uint32_t)names.ends.count;
        t->stream_time = record->timestamp > t->stream_time ? record->timestamp : t->stream_time;
        t->stream_times[i] = t->stream_time;
    }
    everything_string_t topic = wm_string(wasmill_text("test"));
    wasmill_plugin_types_inbound_t batch = {
        .count = (uint32_t)count,
        .keys = wm_column_view(&keys),
        .values = wm_column_view(&values),
        .timestamps = {timestamps, count},
        .inputs = {inputs, count},
    };
    if (t->plugin->reads_headers && names.ends.count > 0) {
        batch.headers.ends.ptr = header_ends;
        batch.headers.ends.len = count;
        batch.headers.names = wm_column_view(&names);
        batch.headers.values = wm_column_view(&header_values);
    }
    if (t->plugin->reads_origins) {
        batch.origins.topics.ptr = &topic;
        batch.origins.topics.len = 1;
        batch.origins.offsets.ptr = offsets;
        batch.origins.offsets.len = count;
    }
    wasmill_plugin_types_outbound_t out;
    t->earliest_set = INT64_MAX;
    wm_process(t->ctx, &batch, &out);
    t->offset += (int64_t)count;
    keep(t, &out, records, first, NULL);
    free_outbound(&out);
    wm_column_free(&keys);
    wm_column_free(&values);
    wm_column_free(&names);
    wm_column_free(&header_values);
}

/* ---- Timers ---- */

/* Whether a timer is due when the stream time is this. */
static bool is_due(const wasmill_test *t, const wasmill_test_timer *timer, int64_t stream_time) {
    return timer->time <= (timer->clock == WASMILL_EVENT_TIME ? wmt_watermark(t, stream_time) : t->clock);
}

static size_t first_due(const wasmill_test *t, int64_t stream_time, wasmill_clock clock) {
    size_t i = 0;
    while (i < t->timers.count && !(t->timers.list[i].clock == clock && is_due(t, &t->timers.list[i], stream_time))) {
        i++;
    }
    return i;
}

/* Fires one timer after the other, as one of them may set another. */
static void fire(wasmill_test *t, int64_t stream_time, wasmill_clock clock) {
    for (size_t i = first_due(t, stream_time, clock); i < t->timers.count; i = first_due(t, stream_time, clock)) {
        wasmill_test_timer timer = t->timers.list[i];
        wmt_remove_timer(&t->timers, i);
        wm_column keys = {0};
        wm_column names = {0};
        wm_column_push(&keys, WM_BYTES, timer.key);
        wm_column_push(&names, WM_BYTES, timer.name);
        wasmill_plugin_types_due_timers_t due = {
            .count = 1,
            .clock = (wasmill_plugin_types_clock_t)clock,
            .keys = wm_column_view(&keys),
            .names = wm_column_view(&names),
            .times = {&timer.time, 1},
        };
        t->stream_times = &stream_time;
        wasmill_plugin_types_outbound_t out;
        wm_on_timers(t->ctx, &due, &out);
        keep(t, &out, NULL, 0, &timer);
        free_outbound(&out);
        wm_column_free(&keys);
        wm_column_free(&names);
    }
}

void wmt_begin(wasmill_test *t) {
    wmt_current = t;
    t->outputs.count = 0;
    t->failures.count = 0;
    wm_arena_reset(&t->results);
    if (t->ctx == NULL) {
        fprintf(stderr, "the config has problems, so the plugin cannot run\n");
        abort();
    }
}

/* How many of the records come before the first one that makes a timer due. */
static size_t until_due(const wasmill_test *t, const wasmill_test_record *records, size_t first, size_t count) {
    int64_t stream_time = t->stream_time;
    for (size_t i = first; i < count; i++) {
        stream_time = records[i].timestamp > stream_time ? records[i].timestamp : stream_time;
        if (first_due(t, stream_time, WASMILL_EVENT_TIME) < t->timers.count) {
            return i - first;
        }
    }
    return count - first;
}

/* What a call changes, so that it can be undone. */
typedef struct snapshot {
    wasmill_test test; /* of its lists only the counts: they may move */
    wasmill_test_entry *entries;
    wasmill_test_timer *timers;
    wmt_metric *metrics;
} snapshot;

/* A copy of a list, or of nothing. */
static void *copied(wasmill_test *t, const void *list, size_t size) {
    void *copy = wm_arena_alloc(&t->results, size);
    if (size > 0) {
        memcpy(copy, list, size);
    }
    return copy;
}

#define COPIED(t, l) copied(t, (l).list, (l).count * sizeof *(l).list)

static snapshot taken(wasmill_test *t) {
    snapshot before = {*t, COPIED(t, t->entries), COPIED(t, t->timers), COPIED(t, t->metrics)};
    return before;
}

#define RESTORE(l, from, n)                                    \
    do {                                                       \
        (l).count = (n);                                       \
        if ((n) > 0) {                                         \
            memcpy((l).list, (from), (n) * sizeof *(l).list);  \
        }                                                      \
    } while (0)

static void undo(wasmill_test *t, const snapshot *before) {
    RESTORE(t->entries, before->entries, before->test.entries.count);
    RESTORE(t->timers, before->timers, before->test.timers.count);
    RESTORE(t->metrics, before->metrics, before->test.metrics.count);
    t->outputs.count = before->test.outputs.count;
    t->failures.count = before->test.failures.count;
    t->stream_time = before->test.stream_time;
    t->offset = before->test.offset;
}

void wasmill_test_run(wasmill_test *t, const wasmill_test_record *records, size_t count) {
    wmt_begin(t);
    size_t first = 0;
    while (first < count) {
        int64_t own = records[first].timestamp;
        fire(t, own > t->stream_time ? own : t->stream_time, WASMILL_EVENT_TIME);
        size_t run = until_due(t, records, first, count);
        /* A timer that a record of the batch sets may be due before the next one, which may set it
         * again for later: then the batch is undone, and its records run one by one. */
        snapshot before = taken(t);
        call(t, records, first, run);
        if (run > 1 && t->earliest_set <= wmt_watermark(t, t->stream_time)) {
            undo(t, &before);
            run = 1;
            call(t, records, first, run);
        }
        fire(t, t->stream_time, WASMILL_EVENT_TIME);
        first += run;
    }
}

void wasmill_test_advance(wasmill_test *t, int64_t stream_time) {
    wmt_begin(t);
    t->stream_time = stream_time > t->stream_time ? stream_time : t->stream_time;
    fire(t, t->stream_time, WASMILL_EVENT_TIME);
}

void wasmill_test_set_clock(wasmill_test *t, int64_t now) {
    wmt_begin(t);
    t->clock = now;
    fire(t, t->stream_time, WASMILL_WALL_CLOCK);
}

/* ---- What came of it ---- */

size_t wasmill_test_problem_count(const wasmill_test *t) {
    return t->problems.len;
}

static const char *problem_text(const wasmill_test *t, size_t i, bool message) {
    if (i >= t->problems.len) {
        return NULL;
    }
    everything_string_t text = message ? t->problems.ptr[i].message : t->problems.ptr[i].pointer;
    return wmt_text(&((wasmill_test *)(uintptr_t)t)->lasting, text.ptr, text.len);
}

const char *wasmill_test_problem_pointer(const wasmill_test *t, size_t i) {
    return problem_text(t, i, false);
}

const char *wasmill_test_problem_message(const wasmill_test *t, size_t i) {
    return problem_text(t, i, true);
}

size_t wasmill_test_output_count(const wasmill_test *t) {
    return t->outputs.count;
}

wasmill_test_output wasmill_test_output_at(const wasmill_test *t, size_t i) {
    wasmill_test_output none = {0};
    return i < t->outputs.count ? t->outputs.list[i] : none;
}

size_t wasmill_test_failure_count(const wasmill_test *t) {
    return t->failures.count;
}

wasmill_test_failure wasmill_test_failure_at(const wasmill_test *t, size_t i) {
    wasmill_test_failure none = {0, NULL, "", "", ""};
    return i < t->failures.count ? t->failures.list[i] : none;
}

size_t wasmill_test_entry_count(const wasmill_test *t) {
    return t->entries.count;
}

wasmill_test_entry wasmill_test_entry_at(const wasmill_test *t, size_t i) {
    wasmill_test_entry none = {0};
    return i < t->entries.count ? t->entries.list[i] : none;
}

size_t wasmill_test_timer_count(const wasmill_test *t) {
    return t->timers.count;
}

wasmill_test_timer wasmill_test_timer_at(const wasmill_test *t, size_t i) {
    wasmill_test_timer none = {0};
    return i < t->timers.count ? t->timers.list[i] : none;
}

double wasmill_test_metric(const wasmill_test *t, const char *name) {
    for (size_t i = 0; i < t->metrics.count; i++) {
        if (strcmp(t->metrics.list[i].name, name) == 0) {
            return t->metrics.list[i].value;
        }
    }
    return 0;
}

size_t wasmill_test_host_calls(const wasmill_test *t) {
    return t->host_calls;
}
