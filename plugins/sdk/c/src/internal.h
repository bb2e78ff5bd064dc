/* What the SDK's files share. Not for plugins. */
#ifndef WASMILL_INTERNAL_H
#define WASMILL_INTERNAL_H

#include <stdarg.h>

#include "../generated/everything.h"
#include "../wasmill.h"

/* ---- memory.c ---- */

/* Memory that is given back all at once; what it gave never moves. */
typedef struct wm_arena {
    struct wm_chunk *chunks; /* the newest first */
} wm_arena;

void *wm_arena_alloc(wm_arena *arena, size_t size);
/* A copy; ends in 0, which is not counted. */
wasmill_bytes wm_arena_copy(wm_arena *arena, wasmill_bytes bytes);
/* Forgets all, and keeps at most one chunk. */
void wm_arena_reset(wm_arena *arena);
void wm_arena_free(wm_arena *arena);
/* An allocator of yyjson over an arena. */
yyjson_alc wm_arena_alc(wm_arena *arena);

/* Room for `need` elements of `size` bytes; `*cap` elements are there. Traps when there is none. */
void *wm_grow(void *ptr, size_t *cap, size_t need, size_t size);
/* A message for people, then a trap. */
_Noreturn void wm_die(const char *message);

/* A growing array: `list` of `count` elements. */
#define WM_LIST(type) \
    struct {          \
        type *list;   \
        size_t count; \
        size_t cap;   \
    }
#define WM_RESERVE(l, n) \
    ((n) > (l).cap ? (void)((l).list = wm_grow((l).list, &(l).cap, (n), sizeof *(l).list)) : (void)0)
#define WM_PUSH(l, ...) (WM_RESERVE(l, (l).count + 1), (void)((l).list[(l).count++] = (__VA_ARGS__)))

/* ---- text.c ---- */

/* How many bytes from the start are valid UTF-8. */
size_t wm_valid_utf8(const char *data, size_t len);
/* The text, or a copy in which U+FFFD stands for what is no UTF-8. */
wasmill_bytes wm_lossy(wm_arena *arena, wasmill_bytes text);
wasmill_bytes wm_vformat(wm_arena *arena, const char *format, va_list arguments) WASMILL_PRINTF(2, 0);

/* ---- column.c ---- */

enum { WM_BYTES = 0, WM_NULL = 1, WM_INHERITED = 2 };

/* A column of the contract that is being written. */
typedef struct wm_column {
    WM_LIST(uint8_t) data;
    WM_LIST(uint32_t) ends;
    WM_LIST(uint8_t) marks; /* empty: all WM_BYTES */
} wm_column;

void wm_column_push(wm_column *column, uint8_t mark, wasmill_bytes bytes);
/* Makes the column hold at least `count` entries; those added are inherited. */
void wm_column_fill(wm_column *column, size_t count);
void wm_column_truncate(wm_column *column, size_t count);
void wm_column_free(wm_column *column);
/* Frees what the host has given. */
void wm_fetched_free(wasmill_plugin_types_column_t *column);
/* For a call of the host, which only reads it; or to hand over. */
wasmill_plugin_types_column_t wm_column_view(const wm_column *column);
/* Entry `i` of a column of the host; null when it is null or the column left out. */
wasmill_bytes wm_entry(const wasmill_plugin_types_column_t *column, size_t i);

/* ---- output.c ---- */

typedef struct wm_outputs {
    WM_LIST(uint32_t) parents;
    WM_LIST(uint8_t) ports;
    wm_column keys;
    wm_column values;
    WM_LIST(int64_t) timestamps;
    WM_LIST(uint32_t) header_ends;
    wm_column header_names;
    wm_column header_values;
    WM_LIST(uint8_t) header_marks;
} wm_outputs;

void wm_outputs_push(wasmill_context *ctx, uint8_t port, const wasmill_output *output);
void wm_outputs_truncate(wm_outputs *outputs, size_t count);
/* Hands the columns over. */
void wm_outputs_finish(wasmill_context *ctx, wasmill_plugin_types_outbound_t *out);

/* ---- state.c ---- */

typedef struct wm_entry_state {
    uint8_t kind;
    bool dirty; /* differs from what the host has */
    wasmill_bytes value;
} wm_entry_state;

typedef struct wm_store_cache {
    WM_LIST(wm_entry_state) entries; /* by slot; shorter than the slots when the last are unknown here */
    WM_LIST(uint32_t) dirty;         /* slots that became dirty, possibly more than once */
    wasmill_plugin_types_column_t fetched;
    bool prefetched;
} wm_store_cache;

typedef struct wm_slot {
    wasmill_bytes key;
    uint32_t hash;
    uint32_t timer; /* 1 + the last change of a timer of this key; 0 for none */
} wm_slot;

typedef struct wm_undo {
    uint32_t store;
    uint32_t slot;
    wm_entry_state entry;
} wm_undo;

/* The keys that a call has touched, and what is stored under them. Nothing outlives the call: a
 * call holds records of one partition, so partitions never mix. */
typedef struct wm_cache {
    WM_LIST(wm_slot) slots;
    WM_LIST(uint32_t) table; /* 1 + slot by hash; 0 is free; the count is a power of two */
    uint32_t *record_slots;  /* of each record's key, once interned */
    wm_store_cache *stores;
    WM_LIST(wm_undo) undo;
} wm_cache;

enum { WM_NO_SLOT = UINT32_MAX };

/* The slot of the record's key; WM_NO_SLOT without one. */
uint32_t wm_record_slot(wasmill_context *ctx);
/* The record is done: what it wrote stays. */
void wm_state_keep(wasmill_context *ctx);
/* The record has failed: takes back what it wrote. */
void wm_state_rollback(wasmill_context *ctx);
/* Hands what was written to the host. */
void wm_state_flush(wasmill_context *ctx);
/* Forgets the call. */
void wm_state_reset(wasmill_context *ctx);
void wm_state_free(wasmill_context *ctx);

/* ---- timers.c ---- */

typedef struct wm_timer_change {
    wasmill_bytes name;
    int64_t time;    /* negative: cancelled */
    uint32_t slot;
    uint32_t before; /* as wm_slot.timer */
    uint8_t clock;
} wm_timer_change;

void wm_timers_truncate(wasmill_context *ctx, size_t count);
void wm_timers_flush(wasmill_context *ctx);

/* ---- context.c ---- */

typedef struct wm_failure {
    uint32_t index;
    wasmill_bytes code;
    wasmill_bytes message;
    wasmill_bytes detail;
} wm_failure;

typedef struct wm_problem {
    wasmill_bytes pointer;
    wasmill_bytes message;
} wm_problem;

struct wasmill_context {
    const wasmill_plugin *plugin;
    void *instance;
    wm_arena lasting; /* as long as the instance */
    wm_arena call;
    wm_arena record;
    wm_arena *scratch; /* where wasmill_alloc takes from */
    WM_LIST(wm_problem) problems;

    /* One of them while a call runs. */
    const wasmill_plugin_types_inbound_t *batch;
    const wasmill_plugin_types_due_timers_t *due;
    const wasmill_plugin_types_column_t *keys; /* NULL outside of one */
    uint32_t count;
    int threshold; /* -1: not asked for in this call */

    /* The record or timer at hand. */
    uint32_t index;
    wasmill_bytes key;
    wasmill_bytes value;
    wm_failure failure;

    /* What a query is answered so far. */
    struct {
        int status; /* 0: nothing yet */
        wasmill_bytes content_type;
        wasmill_bytes body;
    } answer;

    wm_outputs outputs;
    wm_cache cache;
    WM_LIST(wm_timer_change) timers;
    WM_LIST(wm_failure) failures;
};

/* The ports, with the default one filled in. */
size_t wm_ports(const wasmill_plugin *plugin, const wasmill_port **ports);
/* The time that an output inherits from its parent; -1 for none. */
int64_t wm_parent_time(const wasmill_context *ctx, uint32_t parent);
/* Traps when neither records nor timers are run: where a plugin is configured, answers or migrates. */
void wm_needs_records(const wasmill_context *ctx);
everything_string_t wm_string(wasmill_bytes text);
everything_list_u8_t wm_list(wasmill_bytes bytes);

/* ---- json.c ---- */

/* Of a repeated name the last. */
yyjson_val *wm_last_field(yyjson_val *object, wasmill_bytes name);

/* ---- queries.c ---- */

/* Asks the plugin: `answer` of the context, or `failure`. Both last until wm_end_call. */
wasmill_result wm_answer(wasmill_context *ctx, const wasmill_query *query);
/* As the component's export; what is handed over is malloc'ed. */
bool wm_answer_request(
    wasmill_context *ctx, const exports_wasmill_plugin_query_handler_request_t *request,
    exports_wasmill_plugin_query_handler_response_t *ret, everything_string_t *err);

/* ---- migration.c ---- */

/* Lets the plugin migrate; why not is in `failure` until wm_end_call. */
wasmill_result wm_migrate(wasmill_context *ctx, uint32_t from);
/* As the component's export. */
bool wm_migrate_from(wasmill_context *ctx, uint32_t from, everything_string_t *err);

/* ---- runtime.c ---- */

/* Copies for the host, which frees them; the text is made valid. */
everything_string_t wm_owned(wasmill_bytes text);
everything_list_u8_t wm_owned_list(wasmill_bytes bytes);
/* The failure in one text, for the host. */
everything_string_t wm_told(wasmill_context *ctx);
/* Around a call that has no records. */
void wm_begin_call(wasmill_context *ctx);
void wm_end_call(wasmill_context *ctx);

/* A configured plugin; or NULL, and what is wrong is in `problems` (malloc'ed, as are its texts). */
wasmill_context *wm_configure(
    const wasmill_plugin *plugin, wasmill_bytes config, exports_wasmill_plugin_lifecycle_list_problem_t *problems);
void wm_free(wasmill_context *ctx);
void wm_describe(const wasmill_plugin *plugin, exports_wasmill_plugin_lifecycle_description_t *out);
/* What is handed over in `out` is malloc'ed; the inputs stay the caller's. */
void wm_process(
    wasmill_context *ctx, const wasmill_plugin_types_inbound_t *batch, wasmill_plugin_types_outbound_t *out);
void wm_on_timers(
    wasmill_context *ctx, const wasmill_plugin_types_due_timers_t *due, wasmill_plugin_types_outbound_t *out);

#endif
