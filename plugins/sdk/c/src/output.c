/* Outputs, gathered in columns. A column stays left out until something in it differs from the parent. */
#include <stdlib.h>

#include "internal.h"

static void fill_timestamps(wasmill_context *ctx, size_t count) {
    wm_outputs *outputs = &ctx->outputs;
    for (size_t i = outputs->timestamps.count; i < count; i++) {
        WM_PUSH(outputs->timestamps, wm_parent_time(ctx, outputs->parents.list[i]));
    }
}

static void fill_headers(wm_outputs *outputs, size_t count) {
    while (outputs->header_ends.count < count) {
        WM_PUSH(outputs->header_ends, (uint32_t)outputs->header_names.ends.count);
    }
}

static uint8_t mark_of(wasmill_part part) {
    return !part.given ? WM_INHERITED : part.bytes.data == NULL ? WM_NULL : WM_BYTES;
}

void wm_outputs_push(wasmill_context *ctx, uint8_t port, const wasmill_output *output) {
    wm_needs_records(ctx);
    wm_outputs *outputs = &ctx->outputs;
    size_t before = outputs->parents.count;
    uint8_t value = mark_of(output->value);
    if (value == WM_INHERITED && ctx->due != NULL) {
        value = WM_NULL; /* a timer has no value to inherit */
    }
    if (value != WM_INHERITED || outputs->values.ends.count > 0) {
        wm_column_fill(&outputs->values, before);
        wm_column_push(&outputs->values, value, output->value.bytes);
    }
    uint8_t key = mark_of(output->key);
    if (key != WM_INHERITED || outputs->keys.ends.count > 0) {
        wm_column_fill(&outputs->keys, before);
        wm_column_push(&outputs->keys, key, output->key.bytes);
    }
    if (port != 0 || outputs->ports.count > 0) {
        while (outputs->ports.count < before) {
            WM_PUSH(outputs->ports, 0);
        }
        WM_PUSH(outputs->ports, port);
    }
    if (output->has_timestamp) {
        fill_timestamps(ctx, before);
        WM_PUSH(outputs->timestamps, output->timestamp < 0 ? -1 : output->timestamp);
    }
    if (output->header_count > 0 || output->replaces_headers) {
        fill_headers(outputs, before);
        for (size_t i = 0; i < output->header_count; i++) {
            wasmill_bytes given = output->headers[i].value;
            wm_column_push(&outputs->header_names, WM_BYTES, output->headers[i].name);
            wm_column_push(&outputs->header_values, given.data == NULL ? WM_NULL : WM_BYTES, given);
        }
        WM_PUSH(outputs->header_ends, (uint32_t)outputs->header_names.ends.count);
        if (output->replaces_headers) {
            while (outputs->header_marks.count < before) {
                WM_PUSH(outputs->header_marks, 0);
            }
            WM_PUSH(outputs->header_marks, 1);
        }
    }
    WM_PUSH(outputs->parents, ctx->index);
}

#define TRUNCATE(l, n) ((l).count > (n) ? (void)((l).count = (n)) : (void)0)

void wm_outputs_truncate(wm_outputs *outputs, size_t count) {
    TRUNCATE(outputs->parents, count);
    TRUNCATE(outputs->ports, count);
    wm_column_truncate(&outputs->keys, count);
    wm_column_truncate(&outputs->values, count);
    TRUNCATE(outputs->timestamps, count);
    TRUNCATE(outputs->header_ends, count);
    size_t headers = outputs->header_ends.count == 0 ? 0 : outputs->header_ends.list[outputs->header_ends.count - 1];
    wm_column_truncate(&outputs->header_names, headers);
    wm_column_truncate(&outputs->header_values, headers);
    TRUNCATE(outputs->header_marks, count);
}

/* An empty list is freed here, as the host's bindings free only what has a length. */
#define HAND_OVER(to, from)              \
    do {                                 \
        if ((from).count == 0) {         \
            free((from).list);           \
            (from).list = NULL;          \
        }                                \
        (to).ptr = (from).list;          \
        (to).len = (from).count;         \
    } while (0)

static void hand_over(wasmill_plugin_types_column_t *to, wm_column *from) {
    HAND_OVER(to->data, from->data);
    HAND_OVER(to->ends, from->ends);
    HAND_OVER(to->marks, from->marks);
}

void wm_outputs_finish(wasmill_context *ctx, wasmill_plugin_types_outbound_t *out) {
    wm_outputs *outputs = &ctx->outputs;
    size_t count = outputs->parents.count;
    if (count > UINT32_MAX) {
        wm_die("more than 4294967295 outputs in one call");
    }
    if (outputs->values.ends.count > 0) {
        wm_column_fill(&outputs->values, count);
    }
    if (outputs->keys.ends.count > 0) {
        wm_column_fill(&outputs->keys, count);
    }
    if (outputs->timestamps.count > 0) {
        fill_timestamps(ctx, count);
    }
    if (outputs->header_ends.count > 0) {
        fill_headers(outputs, count);
    }
    while (outputs->header_marks.count > 0 && outputs->header_marks.count < count) {
        WM_PUSH(outputs->header_marks, 0);
    }
    bool one_each = count == ctx->count;
    for (size_t i = 0; one_each && i < count; i++) {
        one_each = outputs->parents.list[i] == i;
    }
    if (one_each) {
        outputs->parents.count = 0;
    }
    memset(out, 0, sizeof *out);
    out->count = (uint32_t)count;
    HAND_OVER(out->parents, outputs->parents);
    HAND_OVER(out->ports, outputs->ports);
    hand_over(&out->keys, &outputs->keys);
    hand_over(&out->values, &outputs->values);
    HAND_OVER(out->timestamps, outputs->timestamps);
    HAND_OVER(out->headers.ends, outputs->header_ends);
    hand_over(&out->headers.names, &outputs->header_names);
    hand_over(&out->headers.values, &outputs->header_values);
    HAND_OVER(out->headers.marks, outputs->header_marks);
    memset(outputs, 0, sizeof *outputs);
}
