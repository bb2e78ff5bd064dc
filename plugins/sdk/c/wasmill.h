/* Write Wasmill plugins in C or C++: one function per record.
 *
 *     enum { COUNT };
 *     static const wasmill_store STORES[] = {
 *         {"count", "How often each word was seen", true, WASMILL_U64_LE}};
 *
 *     static wasmill_result process(const wasmill_record *record, wasmill_context *ctx) {
 *         uint64_t count;
 *         WASMILL_TRY(wasmill_get_u64(ctx, COUNT, &count, NULL));
 *         WASMILL_TRY(wasmill_put_u64(ctx, COUNT, count + 1));
 *         return wasmill_emit(ctx, wasmill_format(ctx, "%llu", (unsigned long long)(count + 1)));
 *     }
 *
 *     static const wasmill_plugin PLUGIN = {
 *         .name = "counter", .version = "1.0.0",
 *         .stores = {STORES, WASMILL_COUNT(STORES)}, .process = process};
 *     WASMILL_EXPORT(PLUGIN)
 *
 * What a record's function stored, emitted and set is dropped when it answers WASMILL_FAILED, and
 * the record fails alone. Results must not depend on how records are cut into batches, so keep in
 * the instance only what comes from the configuration; state belongs into a store.
 *
 * Nothing here is ever freed by the author. Unless a function says otherwise, what it gives lives
 * until the record's function returns. Texts are UTF-8; what is not is made so before people see it.
 */
#ifndef WASMILL_H
#define WASMILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vendor/yyjson/yyjson.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WASMILL_MUST_USE __attribute__((warn_unused_result))
#define WASMILL_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define WASMILL_MUST_USE
#define WASMILL_PRINTF(text, first)
#endif

/* ---- Results ---- */

/* Whether a call succeeded. After a failure the context knows why: return it to fail the record,
 * or go on, which forgets the failure. */
typedef enum wasmill_result { WASMILL_OK = 0, WASMILL_FAILED = 1 } wasmill_result;

/* What is given while a record, a timer or the configuration is worked on. */
typedef struct wasmill_context wasmill_context;

/* Returns WASMILL_FAILED from the function around it when `call` fails. */
#define WASMILL_TRY(call)                       \
    do {                                        \
        if ((call) != WASMILL_OK) {             \
            return WASMILL_FAILED;              \
        }                                       \
    } while (0)

/* Says why the record fails, and answers WASMILL_FAILED. `code`: a short stable word for metrics,
 * such as "bad-json"; the message is for people. */
wasmill_result wasmill_fail(wasmill_context *ctx, const char *code, const char *format, ...) WASMILL_PRINTF(3, 4);
/* As wasmill_fail, with a longer explanation. */
wasmill_result wasmill_fail_with_detail(wasmill_context *ctx, const char *code, const char *message, const char *detail);

/* ---- Bytes ---- */

/* Bytes that belong to somebody else; not terminated by 0. `data` is NULL for null (no key, a
 * tombstone, nothing stored), and not NULL for an empty string. */
typedef struct wasmill_bytes {
    const char *data;
    size_t len;
} wasmill_bytes;

/* For "%.*s" of printf and its like. */
#define WASMILL_ARG(bytes) (int)(bytes).len, ((bytes).data ? (bytes).data : "")
/* The length of an array. */
#define WASMILL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Any bytes. */
static inline wasmill_bytes wasmill_bytes_of(const void *data, size_t len) {
    wasmill_bytes bytes;
    bytes.data = data || len ? (const char *)data : "";
    bytes.len = len;
    return bytes;
}

/* A string that ends in 0; null for NULL. */
static inline wasmill_bytes wasmill_text(const char *text) {
    wasmill_bytes bytes;
    bytes.data = text;
    bytes.len = text ? strlen(text) : 0;
    return bytes;
}

/* No bytes: no key, a tombstone. */
static inline wasmill_bytes wasmill_null(void) {
    wasmill_bytes bytes = {NULL, 0};
    return bytes;
}

/* The same bytes; null equals null only. */
static inline bool wasmill_equal(wasmill_bytes a, wasmill_bytes b) {
    return a.len == b.len && !a.data == !b.data && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Whether the bytes are valid UTF-8. */
bool wasmill_is_utf8(wasmill_bytes bytes);
/* Memory that lives until the record's function returns; in `configure`, as long as the instance.
 * Aligned for any type, not cleared, never NULL. */
void *wasmill_alloc(wasmill_context *ctx, size_t size);
/* Text written as printf does; it ends in 0, which `len` does not count. */
wasmill_bytes wasmill_format(wasmill_context *ctx, const char *format, ...) WASMILL_PRINTF(2, 3);

/* ---- What a plugin is ---- */

/* A port: where outputs leave. */
typedef struct wasmill_port {
    const char *name; /* kebab-case */
    const char *doc;  /* one sentence for people */
    bool rekeys;      /* may give other keys than the record's; keyed state downstream costs a repartition */
} wasmill_port;

/* How the values of a store are written: for people and other languages. */
typedef enum wasmill_store_format {
    WASMILL_JSON,
    WASMILL_BYTES,
    WASMILL_UTF8,
    WASMILL_S64_LE,
    WASMILL_U64_LE,
    WASMILL_F64_LE
} wasmill_store_format;

/* A store. Its number is its place in the plugin's list: give the places names by an enum. */
typedef struct wasmill_store {
    const char *name; /* kebab-case */
    const char *doc;  /* one sentence for people */
    bool keyed;       /* one value per record key; else shared: any key of the partition */
    wasmill_store_format format;
} wasmill_store;

typedef struct wasmill_header {
    wasmill_bytes name;
    wasmill_bytes value; /* may be null */
} wasmill_header;

/* A record. All of it lives until its function returns. */
typedef struct wasmill_record {
    wasmill_bytes key;
    wasmill_bytes value; /* null for a tombstone */
    int64_t timestamp;   /* milliseconds since 1970 UTC, as all times here; -1 for none */
    uint32_t input;      /* its place in the plugin's inputs */
    uint32_t partition;  /* the task's */
    uint32_t index;      /* its place in the batch: nothing may depend on it */
} wasmill_record;

/* Which time a timer waits for. */
typedef enum wasmill_clock {
    WASMILL_EVENT_TIME, /* the watermark; the same on replay */
    WASMILL_WALL_CLOCK
} wasmill_clock;

/* A timer that is due, and no longer set. */
typedef struct wasmill_timer {
    wasmill_bytes key;
    wasmill_bytes name;
    int64_t time; /* the one for which it was set */
    wasmill_clock clock;
    uint32_t partition;
    uint32_t index; /* its place in the call: nothing may depend on it */
} wasmill_timer;

/* A plugin: what it says of itself, and what it does. Static data. */
typedef struct wasmill_plugin {
    const char *name;    /* snake_case */
    const char *version; /* its own */
    const char *doc;     /* one sentence for people */
    struct {
        const wasmill_port *list;
        size_t count;
    } ports; /* the first is the default; none: the port `out` */
    struct {
        const wasmill_store *list;
        size_t count;
    } stores;
    struct {
        const char *const *list;
        size_t count;
    } inputs; /* kebab-case; none: one input without a name */
    uint32_t state_version;    /* raised when what is stored changes its meaning */
    bool reads_headers;        /* records come with headers */
    bool reads_origins;        /* records come with origins */
    const char *config_schema; /* JSON Schema of the config table; NULL for none */
    size_t instance_size;      /* the size of what wasmill_instance gives */

    /* Reads the config table, an object. Once per instance, before its first record. Whatever
     * wasmill_problem is told refuses the plugin. NULL: there are no options. May only use what
     * says so: the options, wasmill_instance, wasmill_alloc, logs, metrics and the two names. */
    void (*configure)(yyjson_val *config, wasmill_context *ctx);
    /* Runs one record. */
    wasmill_result (*process)(const wasmill_record *record, wasmill_context *ctx);
    /* Runs one timer. NULL for a plugin that sets none. */
    wasmill_result (*on_timer)(const wasmill_timer *timer, wasmill_context *ctx);
} wasmill_plugin;

#ifdef __cplusplus
#define WASMILL_C extern "C"
#else
#define WASMILL_C
#endif

/* Makes a wasmill_plugin the component's. Once, in one file. */
#define WASMILL_EXPORT(plugin) \
    WASMILL_C const wasmill_plugin *wasmill_exported(void) { return &(plugin); }
const wasmill_plugin *wasmill_exported(void);

/* The plugin's own data, `instance_size` bytes, cleared before `configure`; lives as long as the
 * instance. It serves several partitions, so it holds no state. */
void *wasmill_instance(wasmill_context *ctx);

/* ---- Record ---- */

/* The key as text. Fails: no-key, bad-utf8. */
WASMILL_MUST_USE wasmill_result wasmill_key_text(wasmill_context *ctx, wasmill_bytes *text);
/* The value as text. Fails: no-value, bad-utf8. */
WASMILL_MUST_USE wasmill_result wasmill_value_text(wasmill_context *ctx, wasmill_bytes *text);
/* The value as JSON. Fails: no-value, bad-json. */
WASMILL_MUST_USE wasmill_result wasmill_value_json(wasmill_context *ctx, yyjson_val **json);
/* How many headers the record has, when the plugin reads_headers. */
size_t wasmill_header_count(wasmill_context *ctx);
/* One of them, in order; names may repeat. Null name when there is no such header. */
wasmill_header wasmill_header_at(wasmill_context *ctx, size_t i);
/* The last header of this name. False when there is none. */
bool wasmill_find_header(wasmill_context *ctx, const char *name, wasmill_bytes *value);

/* Where a record entered the pipeline. */
typedef struct wasmill_origin {
    wasmill_bytes topic;
    uint32_t partition;
    int64_t offset;
} wasmill_origin;
/* False unless the plugin reads_origins, and for a timer. */
bool wasmill_find_origin(wasmill_context *ctx, wasmill_origin *origin);

/* ---- JSON: https://ibireme.github.io/yyjson/doc/doxygen/html/ ---- */

/* Reads JSON. `flags` are yyjson's; 0 is strict. Fails: bad-json. */
WASMILL_MUST_USE wasmill_result wasmill_parse_json(
    wasmill_context *ctx, wasmill_bytes text, yyjson_read_flag flags, yyjson_val **json);
/* A field of an object, which must be there once and of this type. Fails: bad-json. */
WASMILL_MUST_USE wasmill_result wasmill_field_text(
    wasmill_context *ctx, yyjson_val *object, const char *name, wasmill_bytes *text);
WASMILL_MUST_USE wasmill_result wasmill_field_f64(
    wasmill_context *ctx, yyjson_val *object, const char *name, double *number);
WASMILL_MUST_USE wasmill_result wasmill_field_s64(
    wasmill_context *ctx, yyjson_val *object, const char *name, int64_t *number);
WASMILL_MUST_USE wasmill_result wasmill_field_bool(
    wasmill_context *ctx, yyjson_val *object, const char *name, bool *truth);
/* What is at a JSON Pointer (RFC 6901); of a repeated name the last. NULL for nothing. */
yyjson_val *wasmill_json_at(yyjson_val *json, wasmill_bytes pointer);
/* An empty document to build JSON in by yyjson_mut_..., never to be freed. */
yyjson_mut_doc *wasmill_new_json(wasmill_context *ctx);
/* A document as text; NaN and the infinities become null. Fails: bad-utf8. */
WASMILL_MUST_USE wasmill_result wasmill_write_json(wasmill_context *ctx, yyjson_mut_doc *doc, wasmill_bytes *text);

/* ---- Emit ---- */

/* Emits a value by the default port; null is a tombstone. Key, timestamp and headers are the
 * record's. The value is copied. */
WASMILL_MUST_USE wasmill_result wasmill_emit(wasmill_context *ctx, wasmill_bytes value);
/* By the port of this name. Fails: no-port. */
WASMILL_MUST_USE wasmill_result wasmill_emit_to(wasmill_context *ctx, const char *port, wasmill_bytes value);
/* Emits a JSON document. Fails: bad-utf8. */
WASMILL_MUST_USE wasmill_result wasmill_emit_json(wasmill_context *ctx, yyjson_mut_doc *doc);

/* A key or value that is given, or (all 0) inherited from the record. */
typedef struct wasmill_part {
    bool given;
    wasmill_bytes bytes;
} wasmill_part;
static inline wasmill_part wasmill_given(wasmill_bytes bytes) {
    wasmill_part part;
    part.given = true;
    part.bytes = bytes;
    return part;
}

/* An output. What is left 0 is inherited from the record; a timer's has its key and time. */
typedef struct wasmill_output {
    wasmill_part value;
    wasmill_part key; /* only a port that rekeys may change it */
    const char *port; /* NULL: by port_index */
    uint32_t port_index;
    bool has_timestamp;
    int64_t timestamp; /* -1 for none */
    const wasmill_header *headers; /* they take the place of inherited ones of the same name */
    size_t header_count;
    bool replaces_headers; /* inherits no headers */
} wasmill_output;
/* Emits an output. Fails: no-port, key-changed, bad-utf8 (the name of a header). */
WASMILL_MUST_USE wasmill_result wasmill_send(wasmill_context *ctx, const wasmill_output *output);

/* ---- State ---- */

/* What is stored under the record's key; null for nothing. Lives until the call ends. Fails: no-key. */
WASMILL_MUST_USE wasmill_result wasmill_get(wasmill_context *ctx, uint32_t store, wasmill_bytes *value);
/* Stores a copy of a value, which must not be null, under the record's key. Fails: no-key. */
WASMILL_MUST_USE wasmill_result wasmill_put(wasmill_context *ctx, uint32_t store, wasmill_bytes value);
/* Removes what is stored under the record's key. Fails: no-key. */
WASMILL_MUST_USE wasmill_result wasmill_remove(wasmill_context *ctx, uint32_t store);

/* Numbers in eight bytes, little-endian. 0, and `found` false, when nothing is stored; `found` may
 * be NULL. Fail: no-key, bad-state. */
WASMILL_MUST_USE wasmill_result wasmill_get_u64(wasmill_context *ctx, uint32_t store, uint64_t *value, bool *found);
WASMILL_MUST_USE wasmill_result wasmill_get_s64(wasmill_context *ctx, uint32_t store, int64_t *value, bool *found);
WASMILL_MUST_USE wasmill_result wasmill_get_f64(wasmill_context *ctx, uint32_t store, double *value, bool *found);
WASMILL_MUST_USE wasmill_result wasmill_put_u64(wasmill_context *ctx, uint32_t store, uint64_t value);
WASMILL_MUST_USE wasmill_result wasmill_put_s64(wasmill_context *ctx, uint32_t store, int64_t value);
WASMILL_MUST_USE wasmill_result wasmill_put_f64(wasmill_context *ctx, uint32_t store, double value);
/* `count` such f64, end to end. */
WASMILL_MUST_USE wasmill_result wasmill_get_f64s(
    wasmill_context *ctx, uint32_t store, double *values, size_t count, bool *found);
WASMILL_MUST_USE wasmill_result wasmill_put_f64s(
    wasmill_context *ctx, uint32_t store, const double *values, size_t count);
/* JSON; NULL for nothing. Fails: no-key, bad-state. */
WASMILL_MUST_USE wasmill_result wasmill_get_json(wasmill_context *ctx, uint32_t store, yyjson_val **json);
/* Fails: no-key, bad-utf8. */
WASMILL_MUST_USE wasmill_result wasmill_put_json(wasmill_context *ctx, uint32_t store, yyjson_mut_doc *doc);

/* A shared store under any key. Fail: keyed-store. */
WASMILL_MUST_USE wasmill_result wasmill_get_at(
    wasmill_context *ctx, uint32_t store, wasmill_bytes key, wasmill_bytes *value);
WASMILL_MUST_USE wasmill_result wasmill_put_at(
    wasmill_context *ctx, uint32_t store, wasmill_bytes key, wasmill_bytes value);
WASMILL_MUST_USE wasmill_result wasmill_remove_at(wasmill_context *ctx, uint32_t store, wasmill_bytes key);

/* For values of shared stores, of queries and of migrations. Read: 0, or NULL, for null. Fail: bad-state. To
 * write JSON: wasmill_write_json. */
WASMILL_MUST_USE wasmill_result wasmill_read_u64(wasmill_context *ctx, wasmill_bytes stored, uint64_t *value);
WASMILL_MUST_USE wasmill_result wasmill_read_s64(wasmill_context *ctx, wasmill_bytes stored, int64_t *value);
WASMILL_MUST_USE wasmill_result wasmill_read_f64(wasmill_context *ctx, wasmill_bytes stored, double *value);
WASMILL_MUST_USE wasmill_result wasmill_read_json(wasmill_context *ctx, wasmill_bytes stored, yyjson_val **json);
wasmill_bytes wasmill_write_u64(wasmill_context *ctx, uint64_t value);
wasmill_bytes wasmill_write_s64(wasmill_context *ctx, int64_t value);
wasmill_bytes wasmill_write_f64(wasmill_context *ctx, double value);

/* ---- Queries: questions about the state, answered while records flow ---- */

/* A parameter of a query. */
typedef struct wasmill_parameter {
    wasmill_bytes name;
    wasmill_bytes value;
} wasmill_parameter;

/* What is asked: GET /v1/pipelines/PIPELINE/query/TRANSFORM/... All of it lives until its function returns. */
typedef struct wasmill_query {
    const wasmill_bytes *path; /* its parts after the transform's name: of items/7 they are `items` and `7` */
    size_t path_count;
    const wasmill_parameter *parameters; /* what stands behind `?`, in order; names may repeat */
    size_t parameter_count;
} wasmill_query;
/* The first parameter of this name; false, and null, when there is none. */
bool wasmill_find_parameter(const wasmill_query *query, const char *name, wasmill_bytes *value);

/* Answers one question by a function below, in an instance that gets no records. What the one who asks did wrong
 * is an answer, too. WASMILL_FAILED, or no answer, is the plugin's fault: the one who asks is told so (502). May
 * use what reads here, wasmill_instance, wasmill_alloc, JSON, logs, the two names and wasmill_now. */
typedef wasmill_result wasmill_answer_function(const wasmill_query *query, wasmill_context *ctx);
/* Makes the component one that answers, by a wasmill_answer_function. Once, in one file. */
#define WASMILL_QUERIES(function)                                                        \
    WASMILL_C wasmill_answer_function *wasmill_answers(void) { return &(function); }     \
    WASMILL_EXPORTS_QUERIES
/* That function; NULL when the plugin has none. */
wasmill_answer_function *wasmill_answers(void);

/* What a store holds under a key: what is committed, over all partitions that the process has; of a key that
 * several have, the first one's. Null for nothing. `of`: NULL for the plugin's own store of this name, or another
 * transform of the pipeline, which must have one (else 502). Fails: no-key, error (no store of its own). */
WASMILL_MUST_USE wasmill_result wasmill_query_get(
    wasmill_context *ctx, const char *of, const char *store, wasmill_bytes key, wasmill_bytes *value);
/* As wasmill_query_get for `count` keys, by one call of the host. */
WASMILL_MUST_USE wasmill_result wasmill_query_get_many(
    wasmill_context *ctx, const char *of, const char *store, const wasmill_bytes *keys, size_t count,
    wasmill_bytes *values);

/* An entry of a store. */
typedef struct wasmill_entry {
    wasmill_bytes key;
    wasmill_bytes value;
} wasmill_entry;
/* Entries by the bytes of their keys; a key that several partitions have comes once for each. */
typedef struct wasmill_entries {
    const wasmill_entry *list;
    size_t count;
    bool more; /* there are entries after the last key */
} wasmill_entries;
/* Up to `limit` entries whose key starts with `prefix` and comes after `after`, null for the first. The host gives
 * at most 1000 and about 1 MiB, so go by `more`. They live until the next scan. Fails: as wasmill_query_get. */
WASMILL_MUST_USE wasmill_result wasmill_query_scan(
    wasmill_context *ctx, const char *of, const char *store, wasmill_bytes prefix, wasmill_bytes after, uint32_t limit,
    wasmill_entries *entries);

/* Answers, in place of an earlier answer. What is given is copied. JSON fails: bad-utf8. */
WASMILL_MUST_USE wasmill_result wasmill_answer_json(wasmill_context *ctx, yyjson_mut_doc *doc);
WASMILL_MUST_USE wasmill_result wasmill_answer_text(wasmill_context *ctx, wasmill_bytes text);
/* Bytes of a media type. */
WASMILL_MUST_USE wasmill_result wasmill_answer_bytes(
    wasmill_context *ctx, const char *content_type, wasmill_bytes body);
/* There is no such thing (404), or the question is wrong (400), with a sentence for people. */
WASMILL_MUST_USE wasmill_result wasmill_answer_not_found(wasmill_context *ctx, const char *format, ...)
    WASMILL_PRINTF(2, 3);
WASMILL_MUST_USE wasmill_result wasmill_answer_bad_request(wasmill_context *ctx, const char *format, ...)
    WASMILL_PRINTF(2, 3);
/* Gives the answer so far, or an empty one, another status: 200 to 599. Fails: error (another number). */
WASMILL_MUST_USE wasmill_result wasmill_answer_status(wasmill_context *ctx, int status);

/* ---- Migration: what an earlier state version of the plugin has stored ---- */

/* Changes the stores of one partition, which were written by the state version `from`, smaller than the plugin's.
 * Called before the partition's first record; what is stored is committed with the new version, or not at all
 * and then it is called again. After WASMILL_FAILED nothing of it counts, and the partition stands still. May use
 * what is here, wasmill_instance, wasmill_alloc, JSON, logs, the two names and wasmill_now. */
typedef wasmill_result wasmill_migrate_function(uint32_t from, wasmill_context *ctx);
/* Makes the component one that migrates, by a wasmill_migrate_function. Once, in one file. */
#define WASMILL_MIGRATES(function)                                                       \
    WASMILL_C wasmill_migrate_function *wasmill_migrates(void) { return &(function); }   \
    WASMILL_EXPORTS_MIGRATION
/* That function; NULL when the plugin has none. */
wasmill_migrate_function *wasmill_migrates(void);

/* What a store, keyed or shared, holds under a key; null for nothing. Fails: no-key. */
WASMILL_MUST_USE wasmill_result wasmill_migration_get(
    wasmill_context *ctx, uint32_t store, wasmill_bytes key, wasmill_bytes *value);
/* Stores a value, or removes it. Fail: no-key. */
WASMILL_MUST_USE wasmill_result wasmill_migration_put(
    wasmill_context *ctx, uint32_t store, wasmill_bytes key, wasmill_bytes value);
WASMILL_MUST_USE wasmill_result wasmill_migration_remove(wasmill_context *ctx, uint32_t store, wasmill_bytes key);

/* Given what the earlier version has stored, says what this one stores under the same key: `*now`, which is null
 * at first; null removes it. What is allocated in it lives until that has been stored. */
typedef wasmill_result wasmill_change_function(
    wasmill_bytes key, wasmill_bytes earlier, wasmill_bytes *now, wasmill_context *ctx, void *data);
/* Replaces every entry of a store, in the order of the keys' bytes. `data` is handed to `change`, which may not
 * rewrite a store itself. Fails: as `change`. */
WASMILL_MUST_USE wasmill_result wasmill_migration_rewrite(
    wasmill_context *ctx, uint32_t store, wasmill_change_function *change, void *data);

/* ---- Timers, each known by clock, the record's key, and name ---- */

/* Sets a timer, in place of the one of the same name. The time is not negative. In `on_timer`, an
 * event-time timer is set for a later time than the one that fires. Fails: no-key, no-timer-name,
 * error. */
WASMILL_MUST_USE wasmill_result wasmill_set_timer(
    wasmill_context *ctx, wasmill_clock clock, const char *name, int64_t time);
/* Takes a timer back. Fails: no-key, no-timer-name. */
WASMILL_MUST_USE wasmill_result wasmill_cancel_timer(wasmill_context *ctx, wasmill_clock clock, const char *name);
/* The time for which a timer is set; -1 when it is not. Fails: no-key, no-timer-name. */
WASMILL_MUST_USE wasmill_result wasmill_get_timer(
    wasmill_context *ctx, wasmill_clock clock, const char *name, int64_t *time);

/* ---- Config, in `configure` only ---- */

/* Reports what is wrong at a JSON Pointer, "" for the whole. */
void wasmill_problem(wasmill_context *ctx, const char *pointer, const char *format, ...) WASMILL_PRINTF(3, 4);
/* `pointer` with one more part, which is escaped. */
const char *wasmill_pointer(wasmill_context *ctx, const char *pointer, wasmill_bytes part);
/* Reports every option that is not named here; the list of const char * ends in NULL. */
void wasmill_known_options(wasmill_context *ctx, yyjson_val *config, ...);
/* Whether the option is there; reports that it is missing. */
bool wasmill_required(wasmill_context *ctx, yyjson_val *config, const char *name);
/* True when the option is there and of this type; another type is reported. */
bool wasmill_option_text(wasmill_context *ctx, yyjson_val *config, const char *name, wasmill_bytes *text);
bool wasmill_option_s64(wasmill_context *ctx, yyjson_val *config, const char *name, int64_t *number);
bool wasmill_option_f64(wasmill_context *ctx, yyjson_val *config, const char *name, double *number);
bool wasmill_option_bool(wasmill_context *ctx, yyjson_val *config, const char *name, bool *truth);
bool wasmill_option_object(wasmill_context *ctx, yyjson_val *config, const char *name, yyjson_val **object);

/* ---- Log, metrics, time ---- */

typedef enum wasmill_level {
    WASMILL_TRACE,
    WASMILL_DEBUG,
    WASMILL_INFO,
    WASMILL_WARN,
    WASMILL_ERROR
} wasmill_level;
/* Writes to the pipeline's log, where the level is kept there. Also in `configure`. */
void wasmill_log(wasmill_context *ctx, wasmill_level level, const char *format, ...) WASMILL_PRINTF(3, 4);

/* A metric's label. */
typedef struct wasmill_label {
    const char *name;
    const char *value;
} wasmill_label;
/* Metrics of the plugin, defined in `configure`; the number is for wasmill_update. Names are
 * snake_case, those of counters end in _total. Also in `configure`. */
uint32_t wasmill_counter(const char *name, const char *help, const wasmill_label *labels, size_t label_count);
uint32_t wasmill_gauge(const char *name, const char *help, const wasmill_label *labels, size_t label_count);
/* Over buckets with these upper bounds, rising. */
uint32_t wasmill_histogram(const char *name, const char *help, const wasmill_label *labels, size_t label_count,
                           const double *bounds, size_t bound_count);
/* Adds to a counter, sets a gauge, observes in a histogram. */
void wasmill_update(uint32_t metric, double value);

/* The names of the pipeline, and of the transform in it. Also in `configure`. */
wasmill_bytes wasmill_pipeline(wasmill_context *ctx);
wasmill_bytes wasmill_transform(wasmill_context *ctx);
/* The wall clock, standing still during a call. Not the same when the record is run again. */
int64_t wasmill_now(wasmill_context *ctx);
/* The largest event time that the task has seen up to this record, it included. The same on replay. */
int64_t wasmill_stream_time(wasmill_context *ctx);
/* The stream time less the lateness that the pipeline allows, at least -1. The same on replay. */
int64_t wasmill_watermark(wasmill_context *ctx);
/* A seed for random numbers. The same on replay. */
uint64_t wasmill_seed(wasmill_context *ctx);

/* ---- What the macros above export ---- */

/* The host goes by what a component exports, and the SDK's own files are the same for all plugins. The names are
 * those of the contract, whose version is that of generated/. */
#ifdef __wasm__
#define WASMILL_EXPORTED(name) WASMILL_C __attribute__((__export_name__(name)))
WASMILL_C uint8_t *__wasm_export_exports_wasmill_plugin_query_handler_answer(
    uint8_t *path, size_t path_count, uint8_t *parameters, size_t parameter_count);
WASMILL_C void __wasm_export_exports_wasmill_plugin_query_handler_answer_post_return(uint8_t *answer);
WASMILL_C uint8_t *__wasm_export_exports_wasmill_plugin_migration_handler_migrate(int32_t from);
WASMILL_C void __wasm_export_exports_wasmill_plugin_migration_handler_migrate_post_return(uint8_t *answer);
#define WASMILL_EXPORTS_QUERIES                                                                                    \
    WASMILL_EXPORTED("wasmill:plugin/query-handler@0.1.2#answer")                                                  \
    uint8_t *wasmill_export_answer(uint8_t *path, size_t path_count, uint8_t *parameters, size_t parameter_count) { \
        return __wasm_export_exports_wasmill_plugin_query_handler_answer(                                          \
            path, path_count, parameters, parameter_count);                                                        \
    }                                                                                                              \
    WASMILL_EXPORTED("cabi_post_wasmill:plugin/query-handler@0.1.2#answer")                                        \
    void wasmill_export_answer_post_return(uint8_t *answer) {                                                      \
        __wasm_export_exports_wasmill_plugin_query_handler_answer_post_return(answer);                             \
    }
#define WASMILL_EXPORTS_MIGRATION                                                          \
    WASMILL_EXPORTED("wasmill:plugin/migration-handler@0.1.2#migrate")                     \
    uint8_t *wasmill_export_migrate(int32_t from) {                                        \
        return __wasm_export_exports_wasmill_plugin_migration_handler_migrate(from);       \
    }                                                                                      \
    WASMILL_EXPORTED("cabi_post_wasmill:plugin/migration-handler@0.1.2#migrate")           \
    void wasmill_export_migrate_post_return(uint8_t *answer) {                             \
        __wasm_export_exports_wasmill_plugin_migration_handler_migrate_post_return(answer); \
    }
#else
#define WASMILL_EXPORTS_QUERIES
#define WASMILL_EXPORTS_MIGRATION
#endif

#ifdef __cplusplus
}
#endif
#endif
