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

int wmt_order(wasmill_bytes a, wasmill_bytes b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int first = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return first != 0 ? first : (a.len > b.len) - (a.len < b.len);
}

static size_t find_entry(const wmt_entries *entries, uint32_t store, wasmill_bytes key, bool *found) {
    size_t i = 0;
    while (i < entries->count && (entries->list[i].store < store ||
                                  (entries->list[i].store == store && wmt_order(entries->list[i].key, key) < 0))) {
        i++;
    }
    *found = i < entries->count && entries->list[i].store == store && wmt_order(entries->list[i].key, key) == 0;
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

void wasmill_plugin_state_put(uint32_t store, everything_list_u8_t *key, everything_list_u8_t *value) {
    wmt_current->host_calls++;
    put(store, wasmill_bytes_of(key->ptr, key->len), wasmill_bytes_of(value->ptr, value->len));
}

void wasmill_plugin_state_remove(uint32_t store, everything_list_u8_t *key) {
    wmt_current->host_calls++;
    put(store, wasmill_bytes_of(key->ptr, key->len), wasmill_null());
}

/* What is asked of a scan, and the page that it gives. */
typedef struct scan {
    wasmill_bytes prefix;
    wasmill_bytes after;
    uint32_t limit;
    wm_column keys;
    wm_column values;
    bool more;
} scan;

static scan new_scan(everything_list_u8_t *prefix, everything_list_u8_t *maybe_after, uint32_t limit) {
    enum { LIMIT_MAX = 1000 };
    scan it = {0};
    it.prefix = wasmill_bytes_of(prefix->ptr, prefix->len);
    it.after = maybe_after == NULL ? wasmill_null() : wasmill_bytes_of(maybe_after->ptr, maybe_after->len);
    it.limit = limit < LIMIT_MAX ? limit : LIMIT_MAX;
    return it;
}

/* Gives it an entry; entries come by their keys. */
static void scan_entry(scan *it, wasmill_bytes key, wasmill_bytes value) {
    bool asked = key.len >= it->prefix.len && memcmp(key.data, it->prefix.data, it->prefix.len) == 0 &&
                 (it->after.data == NULL || wmt_order(key, it->after) > 0);
    if (!asked || it->more) {
        return;
    }
    if (it->keys.ends.count >= it->limit) {
        it->more = true;
        return;
    }
    wm_column_push(&it->keys, WM_BYTES, key);
    wm_column_push(&it->values, WM_BYTES, value);
}

static void end_scan(const scan *it, wasmill_plugin_state_page_t *ret) {
    ret->keys = wm_column_view(&it->keys);
    ret->values = wm_column_view(&it->values);
    ret->more = it->more;
}

void wasmill_plugin_state_scan(
    uint32_t store, everything_list_u8_t *prefix, everything_list_u8_t *maybe_after, uint32_t limit,
    wasmill_plugin_state_page_t *ret) {
    wmt_current->host_calls++;
    scan it = new_scan(prefix, maybe_after, limit);
    for (size_t i = 0; i < wmt_current->entries.count; i++) {
        const wasmill_test_entry *entry = &wmt_current->entries.list[i];
        if (entry->store == store) {
            scan_entry(&it, entry->key, entry->value);
        }
    }
    end_scan(&it, ret);
}

/* ---- The stores of other transforms ---- */

void wasmill_test_store_of(
    wasmill_test *t, const char *transform, const char *store, wasmill_bytes key, wasmill_bytes value) {
    wmt_peer fresh = {
        wm_arena_copy(&t->lasting, wasmill_text(transform)).data,
        wm_arena_copy(&t->lasting, wasmill_text(store)).data,
        wm_arena_copy(&t->lasting, key),
        wm_arena_copy(&t->lasting, value),
    };
    size_t at = 0;
    while (at < t->peers.count && wmt_order(t->peers.list[at].key, key) < 0) {
        at++;
    }
    WM_PUSH(t->peers, fresh);
    memmove(&t->peers.list[at + 1], &t->peers.list[at], (t->peers.count - 1 - at) * sizeof fresh);
    t->peers.list[at] = fresh;
}

static bool is_of(const wmt_peer *peer, const everything_string_t *transform, const everything_string_t *store) {
    return wasmill_equal(wasmill_text(peer->transform), wasmill_bytes_of(transform->ptr, transform->len)) &&
           wasmill_equal(wasmill_text(peer->store), wasmill_bytes_of(store->ptr, store->len));
}

static wasmill_bytes peer_value(
    const everything_string_t *transform, const everything_string_t *store, wasmill_bytes key) {
    for (size_t i = 0; i < wmt_current->peers.count; i++) {
        const wmt_peer *peer = &wmt_current->peers.list[i];
        if (is_of(peer, transform, store) && wasmill_equal(peer->key, key)) {
            return peer->value;
        }
    }
    return wasmill_null();
}

bool wasmill_plugin_stores_get(
    everything_string_t *transform, everything_string_t *store, everything_list_u8_t *key, everything_list_u8_t *ret) {
    wmt_current->host_calls++;
    wasmill_bytes value = peer_value(transform, store, wasmill_bytes_of(key->ptr, key->len));
    ret->len = value.len;
    ret->ptr = value.len > 0 ? given(value.data, value.len) : NULL;
    return value.data != NULL;
}

void wasmill_plugin_stores_get_many(
    everything_string_t *transform, everything_string_t *store, wasmill_plugin_stores_column_t *keys,
    wasmill_plugin_stores_column_t *ret) {
    wmt_current->host_calls++;
    wm_column values = {0};
    for (size_t i = 0; i < keys->ends.len; i++) {
        wasmill_bytes value = peer_value(transform, store, wm_entry(keys, i));
        wm_column_push(&values, value.data == NULL ? WM_NULL : WM_BYTES, value);
    }
    *ret = wm_column_view(&values);
}

void wasmill_plugin_stores_scan(
    everything_string_t *transform, everything_string_t *store, everything_list_u8_t *prefix,
    everything_list_u8_t *maybe_after, uint32_t limit, wasmill_plugin_stores_page_t *ret) {
    wmt_current->host_calls++;
    scan it = new_scan(prefix, maybe_after, limit);
    for (size_t i = 0; i < wmt_current->peers.count; i++) {
        const wmt_peer *peer = &wmt_current->peers.list[i];
        if (is_of(peer, transform, store)) {
            scan_entry(&it, peer->key, peer->value);
        }
    }
    end_scan(&it, ret);
}

/* ---- Timers ---- */

size_t wmt_find_timer(const wmt_timers *timers, const wasmill_test_timer *timer, bool *found) {
    for (size_t i = 0; i < timers->count; i++) {
        const wasmill_test_timer *own = &timers->list[i];
        if (own->clock == timer->clock && wmt_order(own->key, timer->key) == 0 && wmt_order(own->name, timer->name) == 0) {
            *found = true;
            return i;
        }
    }
    *found = false;
    size_t i = 0;
    for (; i < timers->count; i++) {
        const wasmill_test_timer *own = &timers->list[i];
        int by_key = wmt_order(own->key, timer->key);
        bool later = own->time != timer->time ? own->time > timer->time
                     : by_key != 0            ? by_key > 0
                                              : wmt_order(own->name, timer->name) > 0;
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
