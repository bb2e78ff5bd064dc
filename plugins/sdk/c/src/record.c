/* What a record's function reads of its record. */
#include "internal.h"

static wasmill_result text_of(
    wasmill_context *ctx, wasmill_bytes bytes, const char *what, const char *missing, wasmill_bytes *text) {
    if (bytes.data == NULL) {
        return wasmill_fail(ctx, missing, "the record has no %s", what);
    }
    size_t valid = wm_valid_utf8(bytes.data, bytes.len);
    if (valid != bytes.len) {
        return wasmill_fail(ctx, "bad-utf8", "the %s is no valid UTF-8 from byte %zu on", what, valid);
    }
    *text = bytes;
    return WASMILL_OK;
}

wasmill_result wasmill_key_text(wasmill_context *ctx, wasmill_bytes *text) {
    return text_of(ctx, ctx->key, "key", "no-key", text);
}

wasmill_result wasmill_value_text(wasmill_context *ctx, wasmill_bytes *text) {
    return text_of(ctx, ctx->value, "value", "no-value", text);
}

/* Where the record's headers start; 0 headers for a timer. */
static size_t first_header(wasmill_context *ctx, size_t *count) {
    *count = 0;
    if (ctx->batch == NULL || ctx->index >= ctx->batch->headers.ends.len) {
        return 0;
    }
    const uint32_t *ends = ctx->batch->headers.ends.ptr;
    size_t start = ctx->index == 0 ? 0 : ends[ctx->index - 1];
    size_t end = ends[ctx->index];
    if (start <= end && end <= ctx->batch->headers.names.ends.len) {
        *count = end - start;
    }
    return start;
}

size_t wasmill_header_count(wasmill_context *ctx) {
    size_t count;
    first_header(ctx, &count);
    return count;
}

wasmill_header wasmill_header_at(wasmill_context *ctx, size_t i) {
    size_t count;
    size_t start = first_header(ctx, &count);
    wasmill_header header = {{NULL, 0}, {NULL, 0}};
    if (i < count) {
        header.name = wm_entry(&ctx->batch->headers.names, start + i);
        header.value = wm_entry(&ctx->batch->headers.values, start + i);
    }
    return header;
}

bool wasmill_find_header(wasmill_context *ctx, const char *name, wasmill_bytes *value) {
    wasmill_bytes wanted = wasmill_text(name);
    for (size_t i = wasmill_header_count(ctx); i > 0; i--) {
        wasmill_header header = wasmill_header_at(ctx, i - 1);
        if (wasmill_equal(header.name, wanted)) {
            *value = header.value;
            return true;
        }
    }
    return false;
}

bool wasmill_find_origin(wasmill_context *ctx, wasmill_origin *origin) {
    if (ctx->batch == NULL) {
        return false;
    }
    const wasmill_plugin_types_origins_t *origins = &ctx->batch->origins;
    size_t i = ctx->index;
    size_t topic = i < origins->topic_indexes.len ? origins->topic_indexes.ptr[i] : 0;
    if (i >= origins->offsets.len || topic >= origins->topics.len) {
        return false;
    }
    origin->topic = wasmill_bytes_of(origins->topics.ptr[topic].ptr, origins->topics.ptr[topic].len);
    origin->partition = i < origins->partitions.len ? origins->partitions.ptr[i] : ctx->batch->partition;
    origin->offset = origins->offsets.ptr[i];
    return true;
}
