/* Activity per key: records whose times are less than a gap apart are one session, which ends when
 * the watermark reaches its last record's time plus the gap. */
#include <stdlib.h>

#include "wasmill.h"

enum { OPEN };

static const wasmill_store STORES[] = {
    {.name = "open", .doc = "[[start, end, count], ...] of the open sessions, by rising start", .keyed = true,
     .format = WASMILL_JSON},
};

static const wasmill_port PORTS[] = {
    {.name = "out", .doc = "{\"key\",\"start\",\"end\",\"count\"} when a session ends"},
};

static const char CLOSE[] = "close";

struct sessions {
    int64_t gap_ms;
};

struct session {
    int64_t start;
    int64_t end;
    uint64_t count;
};

static void configure(yyjson_val *config, wasmill_context *ctx) {
    struct sessions *self = wasmill_instance(ctx);
    wasmill_known_options(ctx, config, "gap_ms", NULL);
    if (wasmill_required(ctx, config, "gap_ms") && wasmill_option_s64(ctx, config, "gap_ms", &self->gap_ms) &&
        self->gap_ms < 1) {
        wasmill_problem(ctx, "/gap_ms", "must be at least 1");
    }
}

/* When a session ends, unless a record joins it. */
static int64_t due(const struct session *session, int64_t gap_ms) {
    return session->end > INT64_MAX - gap_ms ? INT64_MAX : session->end + gap_ms;
}

/* The open sessions of the key, with room for one more. */
static wasmill_result load(wasmill_context *ctx, struct session **sessions, size_t *count) {
    yyjson_val *json;
    WASMILL_TRY(wasmill_get_json(ctx, OPEN, &json));
    *count = yyjson_arr_size(json);
    *sessions = wasmill_alloc(ctx, (*count + 1) * sizeof **sessions);
    size_t i;
    size_t size;
    yyjson_val *own;
    yyjson_arr_foreach(json, i, size, own) {
        yyjson_val *start = yyjson_arr_get(own, 0);
        yyjson_val *end = yyjson_arr_get(own, 1);
        yyjson_val *records = yyjson_arr_get(own, 2);
        if (yyjson_arr_size(own) != 3 || !yyjson_is_int(start) || !yyjson_is_int(end) || !yyjson_is_uint(records)) {
            return wasmill_fail(ctx, "bad-state", "what is stored cannot be read: no list of [start, end, count]");
        }
        (*sessions)[i] = (struct session){yyjson_get_sint(start), yyjson_get_sint(end), yyjson_get_uint(records)};
    }
    if (json != NULL && !yyjson_is_arr(json)) {
        return wasmill_fail(ctx, "bad-state", "what is stored cannot be read: no list of [start, end, count]");
    }
    return WASMILL_OK;
}

/* Stores the open sessions, and sets the timer at the earliest end. */
static wasmill_result save(wasmill_context *ctx, const struct session *sessions, size_t count, int64_t gap_ms) {
    if (count == 0) {
        return wasmill_remove(ctx, OPEN);
    }
    yyjson_mut_doc *doc = wasmill_new_json(ctx);
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, list);
    int64_t earliest = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        yyjson_mut_val *own = yyjson_mut_arr_add_arr(doc, list);
        yyjson_mut_arr_add_sint(doc, own, sessions[i].start);
        yyjson_mut_arr_add_sint(doc, own, sessions[i].end);
        yyjson_mut_arr_add_uint(doc, own, sessions[i].count);
        int64_t end = due(&sessions[i], gap_ms);
        earliest = end < earliest ? end : earliest;
    }
    WASMILL_TRY(wasmill_put_json(ctx, OPEN, doc));
    return wasmill_set_timer(ctx, WASMILL_EVENT_TIME, CLOSE, earliest);
}

static wasmill_result process(const wasmill_record *record, wasmill_context *ctx) {
    struct sessions *self = wasmill_instance(ctx);
    wasmill_bytes key;
    WASMILL_TRY(wasmill_key_text(ctx, &key));
    if (record->timestamp < 0) {
        return wasmill_fail(ctx, "no-timestamp", "the record has no timestamp");
    }
    struct session *sessions;
    size_t count;
    WASMILL_TRY(load(ctx, &sessions, &count));
    /* Sessions that the record belongs to become one with it; the others stay, before or after. */
    struct session joined = {record->timestamp, record->timestamp, 1};
    struct session *kept = wasmill_alloc(ctx, (count + 1) * sizeof *kept);
    size_t before = 0;
    size_t after = 0;
    for (size_t i = 0; i < count; i++) {
        const struct session *own = &sessions[i];
        if (own->end < record->timestamp && record->timestamp - own->end >= self->gap_ms) {
            kept[before++] = *own;
        } else if (own->start > record->timestamp && own->start - record->timestamp >= self->gap_ms) {
            sessions[after++] = *own;
        } else {
            joined.start = own->start < joined.start ? own->start : joined.start;
            joined.end = own->end > joined.end ? own->end : joined.end;
            joined.count += own->count;
        }
    }
    kept[before++] = joined;
    memcpy(kept + before, sessions, after * sizeof *kept);
    return save(ctx, kept, before + after, self->gap_ms);
}

static wasmill_result emit(wasmill_context *ctx, wasmill_bytes key, const struct session *session) {
    yyjson_mut_doc *doc = wasmill_new_json(ctx);
    yyjson_mut_val *ended = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, ended);
    yyjson_mut_obj_add_strn(doc, ended, "key", key.data, key.len);
    yyjson_mut_obj_add_sint(doc, ended, "start", session->start);
    yyjson_mut_obj_add_sint(doc, ended, "end", session->end);
    yyjson_mut_obj_add_uint(doc, ended, "count", session->count);
    wasmill_bytes text;
    WASMILL_TRY(wasmill_write_json(ctx, doc, &text));
    wasmill_output output = {.value = wasmill_given(text), .has_timestamp = true, .timestamp = session->end};
    return wasmill_send(ctx, &output);
}

static wasmill_result on_timer(const wasmill_timer *timer, wasmill_context *ctx) {
    struct sessions *self = wasmill_instance(ctx);
    struct session *sessions;
    size_t count;
    WASMILL_TRY(load(ctx, &sessions, &count));
    int64_t watermark = wasmill_watermark(ctx);
    int64_t now = watermark > timer->time ? watermark : timer->time;
    size_t open = 0;
    /* They do not overlap, so by rising start is by rising end. */
    for (size_t i = 0; i < count; i++) {
        if (due(&sessions[i], self->gap_ms) <= now) {
            WASMILL_TRY(emit(ctx, timer->key, &sessions[i]));
        } else {
            sessions[open++] = sessions[i];
        }
    }
    return save(ctx, sessions, open, self->gap_ms);
}

static const wasmill_plugin PLUGIN = {
    .name = "sessions",
    .version = "0.1.0",
    .doc = "Activity per key, closed after a gap",
    .ports = {PORTS, WASMILL_COUNT(PORTS)},
    .stores = {STORES, WASMILL_COUNT(STORES)},
    .config_schema =
        "{\"type\":\"object\",\"properties\":{\"gap_ms\":{\"description\":\"Records of a key that are less than this "
        "apart belong to one session.\",\"type\":\"integer\",\"minimum\":1}},"
        "\"required\":[\"gap_ms\"],\"additionalProperties\":false}",
    .instance_size = sizeof(struct sessions),
    .configure = configure,
    .process = process,
    .on_timer = on_timer,
};
WASMILL_EXPORT(PLUGIN)
