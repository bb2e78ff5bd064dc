/* What the files of the test helper share. */
#ifndef WASMILL_TESTING_H
#define WASMILL_TESTING_H

#include "../src/internal.h"
#include "../wasmill_test.h"

typedef WM_LIST(wasmill_test_entry) wmt_entries;
typedef WM_LIST(wasmill_test_timer) wmt_timers;

/* An entry of another transform's store. */
typedef struct wmt_peer {
    const char *transform;
    const char *store;
    wasmill_bytes key;
    wasmill_bytes value;
} wmt_peer;

typedef struct wmt_metric {
    const char *name;
    uint8_t kind;
    double value;
} wmt_metric;

struct wasmill_test {
    const wasmill_plugin *plugin;
    wasmill_context *ctx; /* NULL when the config has problems */
    exports_wasmill_plugin_lifecycle_list_problem_t problems;
    int64_t lateness_ms;
    int64_t stream_time;
    int64_t clock;
    int64_t offset;
    wm_arena lasting;
    wm_arena results;
    wmt_entries entries; /* by store, key */
    WM_LIST(wmt_peer) peers; /* by key */
    wmt_timers timers;    /* by time, key, name */
    int64_t earliest_set; /* of the event-time timers that the call at hand has set, also those it set again */
    WM_LIST(wmt_metric) metrics;
    WM_LIST(wasmill_test_output) outputs;
    WM_LIST(wasmill_test_failure) failures;
    size_t host_calls;
    int64_t *stream_times; /* of the records or timers of the call at hand */
};

/* The test whose plugin runs, so the functions of the host know theirs. */
extern wasmill_test *wmt_current;

/* Forgets what came of the last run. */
void wmt_begin(wasmill_test *t);
/* Unsigned bytes. */
int wmt_order(wasmill_bytes a, wasmill_bytes b);
/* A copy that ends in 0. */
const char *wmt_text(wm_arena *arena, const uint8_t *data, size_t len);
/* The index of a timer in the list, or where it belongs; `*found` says which. */
size_t wmt_find_timer(const wmt_timers *timers, const wasmill_test_timer *timer, bool *found);
void wmt_remove_timer(wmt_timers *timers, size_t at);
int64_t wmt_watermark(const wasmill_test *t, int64_t stream_time);

#endif
