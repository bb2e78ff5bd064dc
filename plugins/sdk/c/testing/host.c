/* The functions of the host, played by lists. */
#include <stdio.h>
#include <stdlib.h>

#include "testing.h"

wasmill_test *wmt_current;

const char *wmt_text(wm_arena *arena, const uint8_t *data, size_t len) {
    return wm_arena_copy(arena, wasmill_bytes_of(data, len)).data;
}

/* The host refuses these by a trap; a test ends. */
static void misuse(const char *what) {
    fprintf(stderr, "the plugin misuses the host: %s\n", what);
    abort();
}

/* A copy that the SDK frees. */
static uint8_t *given(const void *data, size_t len) {
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    if (copy == NULL) {
        misuse("out of memory");
    } else if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

/* ---- State ---- */

static int order(wasmill_bytes a, wasmill_bytes b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static size_t find_entry(const wmt_entries *entries, uint32_t store, wasmill_bytes key, bool *found) {
    size_t i = 0;
    while (i < entries->count && (entries->list[i].store < store ||
                                  (entries->list[i].store == store && order(entries->list[i].key, key) < 0))) {
        i++;
    }
    *found = i < entries->count && entries->list[i].store == store && order(entries->list[i].key, key) == 0;
    return i;
}

wasmill_bytes wasmill_test_stored(const wasmill_test *t, uint32_t store, wasmill_bytes key) {
    bool found;
    size_t i = find_entry(&t->entries, store, key, &found);
    return found ? t->entries.list[i].value : wasmill_null();
}

static void put(uint32_t store, wasmill_bytes key, wasmill_bytes value) {
    wmt_entries *entries = &wmt_current->entries;
    if (key.data == NULL || store >= wmt_current->plugin->stores.count) {
        misuse("a null key, or no such store");
    }
    bool found;
    size_t i = find_entry(entries, store, key, &found);
    if (value.data == NULL) {
        if (found) {
            memmove(&entries->list[i], &entries->list[i + 1], (--entries->count - i) * sizeof *entries->list);
        }
        return;
    }
    if (!found) {
        wasmill_test_entry fresh = {store, wm_arena_copy(&wmt_current->lasting, key), {NULL, 0}};
        WM_PUSH(*entries, fresh);
        memmove(&entries->list[i + 1], &entries->list[i], (entries->count - 1 - i) * sizeof *entries->list);
        entries->list[i] = fresh;
    }
    entries->list[i].value = wm_arena_copy(&wmt_current->lasting, value);
}

void wasmill_test_store(wasmill_test *t, uint32_t store, wasmill_bytes key, wasmill_bytes value) {
    wmt_current = t;
    put(store, key, value);
}

bool wasmill_plugin_state_get(uint32_t store, everything_list_u8_t *key, everything_list_u8_t *ret) {
    wmt_current->host_calls++;
    wasmill_bytes value = wasmill_test_stored(wmt_current, store, wasmill_bytes_of(key->ptr, key->len));
    ret->len = value.len;
    ret->ptr = value.len > 0 ? given(value.data, value.len) : NULL;
    return value.data != NULL;
}

void wasmill_plugin_state_get_many(
    uint32_t store, wasmill_plugin_state_column_t *keys, wasmill_plugin_state_column_t *ret) {
    wmt_current->host_calls++;
    wm_column values = {0};
    for (size_t i = 0; i < keys->ends.len; i++) {
        wasmill_bytes value = wasmill_test_stored(wmt_current, store, wm_entry(keys, i));
        wm_column_push(&values, value.data == NULL ? WM_NULL : WM_BYTES, value);
    }
    *ret = wm_column_view(&values);
}

void wasmill_plugin_state_put_many(
    uint32_t store, wasmill_plugin_state_column_t *keys, wasmill_plugin_state_column_t *values) {
    wmt_current->host_calls++;
    for (size_t i = 0; i < keys->ends.len; i++) {
        put(store, wm_entry(keys, i), wm_entry(values, i));
    }
}

/* ---- Timers ---- */

size_t wmt_find_timer(const wmt_timers *timers, const wasmill_test_timer *timer, bool *found) {
    for (size_t i = 0; i < timers->count; i++) {
        const wasmill_test_timer *own = &timers->list[i];
        if (own->clock == timer->clock && order(own->key, timer->key) == 0 && order(own->name, timer->name) == 0) {
            *found = true;
            return i;
        }
    }
    *found = false;
    size_t i = 0;
    for (; i < timers->count; i++) {
        const wasmill_test_timer *own = &timers->list[i];
        int by_key = order(own->key, timer->key);
        bool later = own->time != timer->time ? own->time > timer->time
                     : by_key != 0            ? by_key > 0
                                              : order(own->name, timer->name) > 0;
        if (later) {
            break;
        }
    }
    return i;
}

void wmt_remove_timer(wmt_timers *timers, size_t at) {
    memmove(&timers->list[at], &timers->list[at + 1], (--timers->count - at) * sizeof *timers->list);
}

bool wasmill_plugin_timers_get(
    wasmill_plugin_timers_clock_t clock, everything_list_u8_t *key, everything_string_t *name, int64_t *ret) {
    wasmill_test_timer timer = {
        (wasmill_clock)clock, wasmill_bytes_of(key->ptr, key->len), wasmill_bytes_of(name->ptr, name->len), 0};
    bool found;
    size_t i = wmt_find_timer(&wmt_current->timers, &timer, &found);
    if (found) {
        *ret = wmt_current->timers.list[i].time;
    }
    return found;
}

void wasmill_plugin_timers_set_many(
    wasmill_plugin_timers_clock_t clock, wasmill_plugin_timers_column_t *keys, wasmill_plugin_timers_column_t *names,
    everything_list_s64_t *times) {
    wmt_current->host_calls++;
    for (size_t i = 0; i < times->len; i++) {
        wasmill_test_timer timer = {(wasmill_clock)clock, wm_entry(keys, i), wm_entry(names, i), times->ptr[i]};
        if (timer.key.data == NULL || timer.name.len == 0 || timer.name.len > 255) {
            misuse("a timer without a key or a name");
        }
        bool found;
        size_t at = wmt_find_timer(&wmt_current->timers, &timer, &found);
        if (found) {
            wmt_remove_timer(&wmt_current->timers, at);
        }
        if (timer.time < 0) {
            continue;
        }
        if (timer.clock == WASMILL_EVENT_TIME && timer.time < wmt_current->earliest_set) {
            wmt_current->earliest_set = timer.time;
        }
        timer.key = wm_arena_copy(&wmt_current->lasting, timer.key);
        timer.name = wm_arena_copy(&wmt_current->lasting, timer.name);
        at = wmt_find_timer(&wmt_current->timers, &timer, &found);
        WM_PUSH(wmt_current->timers, timer);
        wasmill_test_timer *list = wmt_current->timers.list;
        memmove(&list[at + 1], &list[at], (wmt_current->timers.count - 1 - at) * sizeof *list);
        list[at] = timer;
    }
}

/* ---- Log, metrics, names and times ---- */

wasmill_plugin_log_level_t wasmill_plugin_log_threshold(void) {
    return WASMILL_PLUGIN_LOG_LEVEL_TRACE;
}

void wasmill_plugin_log_write(
    wasmill_plugin_log_level_t level, uint32_t *maybe_index, everything_string_t *message) {
    static const char *const LEVELS[] = {"trace", "debug", "info", "warn", "error"};
    fprintf(stderr, "%s: ", level < WASMILL_COUNT(LEVELS) ? LEVELS[level] : "?");
    if (maybe_index != NULL) {
        fprintf(stderr, "record %u: ", (unsigned)*maybe_index);
    }
    fprintf(stderr, "%.*s\n", (int)message->len, (const char *)message->ptr);
}

uint32_t wasmill_plugin_metrics_define(
    everything_string_t *name, wasmill_plugin_metrics_kind_t kind, everything_string_t *help,
    everything_list_tuple2_string_string_t *labels, everything_list_f64_t *bounds) {
    (void)help;
    (void)labels;
    (void)bounds;
    wmt_metric metric = {wmt_text(&wmt_current->lasting, name->ptr, name->len), kind, 0};
    WM_PUSH(wmt_current->metrics, metric);
    return (uint32_t)wmt_current->metrics.count - 1;
}

void wasmill_plugin_metrics_update(uint32_t metric, double value) {
    if (metric >= wmt_current->metrics.count) {
        misuse("no such metric");
    }
    wmt_metric *own = &wmt_current->metrics.list[metric];
    own->value = own->kind == WASMILL_PLUGIN_METRICS_KIND_COUNTER ? own->value + value : value;
}

void wasmill_plugin_context_pipeline(everything_string_t *ret) {
    ret->ptr = given("test", 4);
    ret->len = 4;
}

void wasmill_plugin_context_transform(everything_string_t *ret) {
    wasmill_plugin_context_pipeline(ret);
}

int64_t wasmill_plugin_context_now(void) {
    return wmt_current->clock;
}

int64_t wasmill_plugin_context_stream_time(uint32_t index) {
    return wmt_current->stream_times[index];
}

int64_t wasmill_plugin_context_watermark(uint32_t index) {
    return wmt_watermark(wmt_current, wmt_current->stream_times[index]);
}

uint64_t wasmill_plugin_context_seed(uint32_t index) {
    return (uint64_t)wmt_current->offset + index;
}
