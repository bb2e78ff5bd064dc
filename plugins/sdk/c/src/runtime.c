/* A plugin's life in its instance: described, configured, then call after call. */
#include <stdlib.h>

#include "internal.h"

everything_string_t wm_owned(wasmill_bytes text) {
    wm_arena arena = {NULL};
    text = wm_lossy(&arena, text);
    everything_string_t string = {NULL, text.len};
    if (text.len > 0) {
        string.ptr = malloc(text.len);
        if (string.ptr == NULL) {
            wm_die("out of memory");
        }
        memcpy(string.ptr, text.data, text.len);
    }
    wm_arena_free(&arena);
    return string;
}

everything_list_u8_t wm_owned_list(wasmill_bytes bytes) {
    everything_list_u8_t list = {NULL, bytes.len};
    if (bytes.len > 0) {
        list.ptr = malloc(bytes.len);
        if (list.ptr == NULL) {
            wm_die("out of memory");
        }
        memcpy(list.ptr, bytes.data, bytes.len);
    }
    return list;
}

everything_string_t wm_told(wasmill_context *ctx) {
    return wm_owned(wasmill_format(
        ctx, "%.*s: %.*s", WASMILL_ARG(ctx->failure.code), WASMILL_ARG(ctx->failure.message)));
}

/* Memory for `count` elements, cleared; NULL for none. */
static void *array(size_t count, size_t size) {
    void *ptr = count == 0 ? NULL : calloc(count, size);
    if (count > 0 && ptr == NULL) {
        wm_die("out of memory");
    }
    return ptr;
}

void wm_describe(const wasmill_plugin *plugin, exports_wasmill_plugin_lifecycle_description_t *out) {
    static const char *const FORMATS[] = {"json", "bytes", "utf8", "s64-le", "u64-le", "f64-le"};
    memset(out, 0, sizeof *out);
    out->name = wm_owned(wasmill_text(plugin->name));
    out->version = wm_owned(wasmill_text(plugin->version));
    out->doc = wm_owned(wasmill_text(plugin->doc));
    out->config_schema = wm_owned(wasmill_text(plugin->config_schema));
    out->state_version = plugin->state_version;
    out->sets_timers = plugin->on_timer != NULL;
    out->reads_headers = plugin->reads_headers;
    out->reads_origins = plugin->reads_origins;

    out->inputs.ptr = array(plugin->inputs.count, sizeof *out->inputs.ptr);
    out->inputs.len = plugin->inputs.count;
    for (size_t i = 0; i < plugin->inputs.count; i++) {
        out->inputs.ptr[i] = wm_owned(wasmill_text(plugin->inputs.list[i]));
    }
    const wasmill_port *ports;
    out->ports.len = wm_ports(plugin, &ports);
    out->ports.ptr = array(out->ports.len, sizeof *out->ports.ptr);
    for (size_t i = 0; i < out->ports.len; i++) {
        out->ports.ptr[i].name = wm_owned(wasmill_text(ports[i].name));
        out->ports.ptr[i].doc = wm_owned(wasmill_text(ports[i].doc));
        out->ports.ptr[i].rekeys = ports[i].rekeys;
    }
    out->stores.ptr = array(plugin->stores.count, sizeof *out->stores.ptr);
    out->stores.len = plugin->stores.count;
    for (size_t i = 0; i < plugin->stores.count; i++) {
        const wasmill_store *store = &plugin->stores.list[i];
        out->stores.ptr[i].name = wm_owned(wasmill_text(store->name));
        out->stores.ptr[i].doc = wm_owned(wasmill_text(store->doc));
        out->stores.ptr[i].keyed = store->keyed;
        out->stores.ptr[i].key_format = wm_owned(wasmill_text("bytes"));
        size_t format = (size_t)store->format < WASMILL_COUNT(FORMATS) ? (size_t)store->format : 1;
        out->stores.ptr[i].value_format = wm_owned(wasmill_text(FORMATS[format]));
    }
}

static void configure(wasmill_context *ctx, wasmill_bytes config) {
    yyjson_val *json;
    wasmill_bytes text = config.len == 0 ? wasmill_text("{}") : config;
    if (wasmill_parse_json(ctx, text, 0, &json) != WASMILL_OK) {
        wasmill_problem(ctx, "", "the config is no JSON: %.*s", WASMILL_ARG(ctx->failure.message));
    } else if (!yyjson_is_obj(json)) {
        wasmill_problem(ctx, "", "the config must be a table");
    } else if (ctx->plugin->configure == NULL) {
        wasmill_known_options(ctx, json, (const char *)NULL);
    } else {
        ctx->plugin->configure(json, ctx);
    }
}

wasmill_context *wm_configure(
    const wasmill_plugin *plugin, wasmill_bytes config, exports_wasmill_plugin_lifecycle_list_problem_t *problems) {
    wasmill_context *ctx = array(1, sizeof *ctx);
    ctx->plugin = plugin;
    ctx->instance = array(plugin->instance_size, 1);
    ctx->cache.stores = array(plugin->stores.count, sizeof *ctx->cache.stores);
    ctx->scratch = &ctx->lasting;
    ctx->threshold = -1;
    configure(ctx, config);
    problems->len = ctx->problems.count;
    problems->ptr = array(ctx->problems.count, sizeof *problems->ptr);
    for (size_t i = 0; i < ctx->problems.count; i++) {
        problems->ptr[i].pointer = wm_owned(ctx->problems.list[i].pointer);
        problems->ptr[i].message = wm_owned(ctx->problems.list[i].message);
    }
    if (ctx->problems.count > 0) {
        wm_free(ctx);
        return NULL;
    }
    ctx->scratch = &ctx->record;
    return ctx;
}

void wm_free(wasmill_context *ctx) {
    wm_state_free(ctx);
    wm_arena_free(&ctx->lasting);
    wm_arena_free(&ctx->call);
    wm_arena_free(&ctx->record);
    free(ctx->problems.list);
    free(ctx->timers.list);
    free(ctx->failures.list);
    free(ctx->instance);
    free(ctx);
}

static wasmill_result run_record(wasmill_context *ctx) {
    const wasmill_plugin_types_inbound_t *batch = ctx->batch;
    ctx->value = wm_entry(&batch->values, ctx->index);
    wasmill_record record = {
        .key = ctx->key,
        .value = ctx->value,
        .timestamp = wm_parent_time(ctx, ctx->index),
        .input = ctx->index < batch->inputs.len ? batch->inputs.ptr[ctx->index] : 0,
        .partition = batch->partition,
        .index = ctx->index,
    };
    return ctx->plugin->process(&record, ctx);
}

static wasmill_result run_timer(wasmill_context *ctx) {
    const wasmill_plugin_types_due_timers_t *due = ctx->due;
    if (ctx->plugin->on_timer == NULL) {
        return wasmill_fail(ctx, "error", "the plugin has no `on_timer`");
    }
    wasmill_timer timer = {
        .key = ctx->key,
        .name = wm_entry(&due->names, ctx->index),
        .time = wm_parent_time(ctx, ctx->index),
        .clock = due->clock == WASMILL_PLUGIN_TYPES_CLOCK_WALL_CLOCK ? WASMILL_WALL_CLOCK : WASMILL_EVENT_TIME,
        .partition = due->partition,
        .index = ctx->index,
    };
    ctx->value = wasmill_null();
    return ctx->plugin->on_timer(&timer, ctx);
}

static void give_failures(wasmill_context *ctx, wasmill_plugin_types_outbound_t *out) {
    out->failures.len = ctx->failures.count;
    out->failures.ptr = array(ctx->failures.count, sizeof *out->failures.ptr);
    for (size_t i = 0; i < ctx->failures.count; i++) {
        const wm_failure *failure = &ctx->failures.list[i];
        out->failures.ptr[i].index = failure->index;
        out->failures.ptr[i].code = wm_owned(failure->code);
        out->failures.ptr[i].message = wm_owned(failure->message);
        out->failures.ptr[i].detail = wm_owned(failure->detail);
    }
    ctx->failures.count = 0;
}

/* What is told when the plugin tells nothing. */
static wm_failure unsaid(void) {
    wm_failure failure = {0, wasmill_text("error"), wasmill_text("the plugin failed and did not say why"), {NULL, 0}};
    return failure;
}

void wm_begin_call(wasmill_context *ctx) {
    ctx->threshold = -1;
    ctx->failure = unsaid();
}

void wm_end_call(wasmill_context *ctx) {
    wm_arena_reset(&ctx->record);
    wm_arena_reset(&ctx->call);
}

/* Runs all records of `batch`, or all timers of `due`; the other one is NULL. */
static void run(wasmill_context *ctx, wasmill_plugin_types_outbound_t *out) {
    ctx->threshold = -1;
    for (ctx->index = 0; ctx->index < ctx->count; ctx->index++) {
        size_t emitted = ctx->outputs.parents.count;
        size_t timers = ctx->timers.count;
        ctx->failure = unsaid();
        ctx->key = wm_entry(ctx->keys, ctx->index);
        if ((ctx->batch != NULL ? run_record(ctx) : run_timer(ctx)) == WASMILL_OK) {
            wm_state_keep(ctx);
        } else {
            wm_outputs_truncate(&ctx->outputs, emitted);
            wm_timers_truncate(ctx, timers);
            wm_state_rollback(ctx);
            wm_failure failure = {
                ctx->index,
                wm_arena_copy(&ctx->call, ctx->failure.code),
                wm_arena_copy(&ctx->call, ctx->failure.message),
                wm_arena_copy(&ctx->call, ctx->failure.detail),
            };
            WM_PUSH(ctx->failures, failure);
        }
        wm_arena_reset(&ctx->record);
    }
    wm_state_flush(ctx);
    wm_timers_flush(ctx);
    wm_outputs_finish(ctx, out);
    give_failures(ctx, out);
    wm_state_reset(ctx);
    wm_arena_reset(&ctx->call);
    ctx->batch = NULL;
    ctx->due = NULL;
    ctx->keys = NULL;
}

void wm_process(
    wasmill_context *ctx, const wasmill_plugin_types_inbound_t *batch, wasmill_plugin_types_outbound_t *out) {
    ctx->batch = batch;
    ctx->keys = &batch->keys;
    ctx->count = batch->count;
    run(ctx, out);
}

void wm_on_timers(
    wasmill_context *ctx, const wasmill_plugin_types_due_timers_t *due, wasmill_plugin_types_outbound_t *out) {
    ctx->due = due;
    ctx->keys = &due->keys;
    ctx->count = due->count;
    run(ctx, out);
}
