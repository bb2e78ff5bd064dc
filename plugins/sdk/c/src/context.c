/* What a record's function may do beside state and timers: emit, fail, log, ask for names and times. */
#include <stdlib.h>

#include "internal.h"

everything_string_t wm_string(wasmill_bytes text) {
    everything_string_t string = {(uint8_t *)(uintptr_t)text.data, text.len};
    return string;
}

everything_list_u8_t wm_list(wasmill_bytes bytes) {
    everything_list_u8_t list = {(uint8_t *)(uintptr_t)bytes.data, bytes.len};
    return list;
}

size_t wm_ports(const wasmill_plugin *plugin, const wasmill_port **ports) {
    static const wasmill_port DEFAULT = {"out", "All outputs", false};
    *ports = plugin->ports.count == 0 ? &DEFAULT : plugin->ports.list;
    return plugin->ports.count == 0 ? 1 : plugin->ports.count;
}

int64_t wm_parent_time(const wasmill_context *ctx, uint32_t parent) {
    const everything_list_s64_t *times = ctx->due != NULL ? &ctx->due->times : &ctx->batch->timestamps;
    return parent < times->len ? times->ptr[parent] : -1;
}

void wm_needs_records(const wasmill_context *ctx) {
    if (ctx->keys == NULL) {
        wm_die("there is no record at hand: outputs, timers and the state of records are for the functions of records "
               "and timers");
    }
}

void *wasmill_alloc(wasmill_context *ctx, size_t size) {
    return wm_arena_alloc(ctx->scratch, size);
}

void *wasmill_instance(wasmill_context *ctx) {
    return ctx->instance;
}

/* ---- Failures ---- */

wasmill_result wasmill_fail(wasmill_context *ctx, const char *code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    ctx->failure.code = wasmill_text(code);
    ctx->failure.message = wm_vformat(ctx->scratch, format, arguments);
    ctx->failure.detail = wasmill_null();
    va_end(arguments);
    return WASMILL_FAILED;
}

wasmill_result wasmill_fail_with_detail(
    wasmill_context *ctx, const char *code, const char *message, const char *detail) {
    ctx->failure.code = wasmill_text(code);
    ctx->failure.message = wm_arena_copy(ctx->scratch, wasmill_text(message));
    ctx->failure.detail = wm_arena_copy(ctx->scratch, wasmill_text(detail));
    return WASMILL_FAILED;
}

/* ---- Outputs ---- */

static wasmill_result find_port(wasmill_context *ctx, const char *name, uint8_t *port) {
    const wasmill_port *ports;
    size_t count = wm_ports(ctx->plugin, &ports);
    for (size_t i = 0; i < count && i <= UINT8_MAX; i++) {
        if (strcmp(ports[i].name, name) == 0) {
            *port = (uint8_t)i;
            return WASMILL_OK;
        }
    }
    return wasmill_fail(ctx, "no-port", "the plugin declares no port `%s`", name);
}

wasmill_result wasmill_emit(wasmill_context *ctx, wasmill_bytes value) {
    wasmill_output output = {.value = wasmill_given(value)};
    wm_outputs_push(ctx, 0, &output);
    return WASMILL_OK;
}

wasmill_result wasmill_emit_to(wasmill_context *ctx, const char *port, wasmill_bytes value) {
    wasmill_output output = {.value = wasmill_given(value), .port = port};
    return wasmill_send(ctx, &output);
}

wasmill_result wasmill_emit_json(wasmill_context *ctx, yyjson_mut_doc *doc) {
    wasmill_bytes text;
    WASMILL_TRY(wasmill_write_json(ctx, doc, &text));
    return wasmill_emit(ctx, text);
}

wasmill_result wasmill_send(wasmill_context *ctx, const wasmill_output *output) {
    const wasmill_port *ports;
    size_t count = wm_ports(ctx->plugin, &ports);
    uint8_t port = (uint8_t)output->port_index;
    if (output->port != NULL) {
        WASMILL_TRY(find_port(ctx, output->port, &port));
    } else if (output->port_index >= count || output->port_index > UINT8_MAX) {
        return wasmill_fail(ctx, "no-port", "the plugin declares no port with the number %u", output->port_index);
    }
    if (output->key.given && !ports[port].rekeys && !wasmill_equal(output->key.bytes, ctx->key)) {
        return wasmill_fail(
            ctx, "key-changed", "port `%s` does not say `rekeys`, so its outputs keep their record's key",
            ports[port].name);
    }
    for (size_t i = 0; i < output->header_count; i++) {
        if (output->headers[i].name.data == NULL || !wasmill_is_utf8(output->headers[i].name)) {
            return wasmill_fail(ctx, "bad-utf8", "the name of header %zu is no valid UTF-8", i);
        }
    }
    wm_outputs_push(ctx, port, output);
    return WASMILL_OK;
}

/* ---- Log and metrics ---- */

void wasmill_log(wasmill_context *ctx, wasmill_level level, const char *format, ...) {
    if (ctx->threshold < 0) {
        ctx->threshold = wasmill_plugin_log_threshold();
    }
    if ((int)level < ctx->threshold) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    wasmill_bytes text = wm_lossy(ctx->scratch, wm_vformat(ctx->scratch, format, arguments));
    va_end(arguments);
    everything_string_t string = wm_string(text);
    bool in_call = ctx->batch != NULL || ctx->due != NULL;
    wasmill_plugin_log_write((wasmill_plugin_log_level_t)level, in_call ? &ctx->index : NULL, &string);
}

static uint32_t define(
    wasmill_plugin_metrics_kind_t kind, const char *name, const char *help, const wasmill_label *labels,
    size_t label_count, const double *bounds, size_t bound_count) {
    wm_arena arena = {NULL};
    everything_list_tuple2_string_string_t pairs = {NULL, label_count};
    if (label_count > SIZE_MAX / sizeof *pairs.ptr) {
        wm_die("out of memory");
    }
    pairs.ptr = wm_arena_alloc(&arena, label_count * sizeof *pairs.ptr);
    for (size_t i = 0; i < label_count; i++) {
        pairs.ptr[i].f0 = wm_string(wm_lossy(&arena, wasmill_text(labels[i].name)));
        pairs.ptr[i].f1 = wm_string(wm_lossy(&arena, wasmill_text(labels[i].value)));
    }
    everything_string_t of_name = wm_string(wm_lossy(&arena, wasmill_text(name)));
    everything_string_t of_help = wm_string(wm_lossy(&arena, wasmill_text(help)));
    everything_list_f64_t of_bounds = {(double *)(uintptr_t)bounds, bound_count};
    uint32_t metric = wasmill_plugin_metrics_define(&of_name, kind, &of_help, &pairs, &of_bounds);
    wm_arena_free(&arena);
    return metric;
}

uint32_t wasmill_counter(const char *name, const char *help, const wasmill_label *labels, size_t label_count) {
    return define(WASMILL_PLUGIN_METRICS_KIND_COUNTER, name, help, labels, label_count, NULL, 0);
}

uint32_t wasmill_gauge(const char *name, const char *help, const wasmill_label *labels, size_t label_count) {
    return define(WASMILL_PLUGIN_METRICS_KIND_GAUGE, name, help, labels, label_count, NULL, 0);
}

uint32_t wasmill_histogram(
    const char *name, const char *help, const wasmill_label *labels, size_t label_count, const double *bounds,
    size_t bound_count) {
    return define(WASMILL_PLUGIN_METRICS_KIND_HISTOGRAM, name, help, labels, label_count, bounds, bound_count);
}

void wasmill_update(uint32_t metric, double value) {
    wasmill_plugin_metrics_update(metric, value);
}

/* ---- Names and times ---- */

static wasmill_bytes taken(wasmill_context *ctx, everything_string_t *string) {
    wasmill_bytes copy = wm_arena_copy(ctx->scratch, wasmill_bytes_of(string->ptr, string->len));
    if (string->len > 0) {
        free(string->ptr);
    }
    return copy;
}

wasmill_bytes wasmill_pipeline(wasmill_context *ctx) {
    everything_string_t string = {NULL, 0};
    wasmill_plugin_context_pipeline(&string);
    return taken(ctx, &string);
}

wasmill_bytes wasmill_transform(wasmill_context *ctx) {
    everything_string_t string = {NULL, 0};
    wasmill_plugin_context_transform(&string);
    return taken(ctx, &string);
}

int64_t wasmill_now(wasmill_context *ctx) {
    (void)ctx;
    return wasmill_plugin_context_now();
}

int64_t wasmill_stream_time(wasmill_context *ctx) {
    return wasmill_plugin_context_stream_time(ctx->index);
}

int64_t wasmill_watermark(wasmill_context *ctx) {
    return wasmill_plugin_context_watermark(ctx->index);
}

uint64_t wasmill_seed(wasmill_context *ctx) {
    return wasmill_plugin_context_seed(ctx->index);
}
