/* Numbers and JSON as values of stores. */
#include "internal.h"

static wasmill_result bad_size(wasmill_context *ctx, size_t len, size_t expected) {
    return wasmill_fail(
        ctx, "bad-state", "what is stored cannot be read: %zu bytes, not %zu; has the plugin changed its format?", len,
        expected);
}

/* Byte by byte: little-endian wherever it runs, and at any alignment. */
static uint64_t load(const char *data) {
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) {
        value |= (uint64_t)(unsigned char)data[i] << (8 * i);
    }
    return value;
}

static void store(char *data, uint64_t value) {
    for (unsigned i = 0; i < 8; i++) {
        data[i] = (char)(unsigned char)(value >> (8 * i));
    }
}

wasmill_result wasmill_read_u64(wasmill_context *ctx, wasmill_bytes stored, uint64_t *value) {
    *value = 0;
    if (stored.data == NULL) {
        return WASMILL_OK;
    }
    if (stored.len != 8) {
        return bad_size(ctx, stored.len, 8);
    }
    *value = load(stored.data);
    return WASMILL_OK;
}

wasmill_result wasmill_read_s64(wasmill_context *ctx, wasmill_bytes stored, int64_t *value) {
    uint64_t bits;
    WASMILL_TRY(wasmill_read_u64(ctx, stored, &bits));
    memcpy(value, &bits, sizeof bits);
    return WASMILL_OK;
}

wasmill_result wasmill_read_f64(wasmill_context *ctx, wasmill_bytes stored, double *value) {
    uint64_t bits;
    WASMILL_TRY(wasmill_read_u64(ctx, stored, &bits));
    memcpy(value, &bits, sizeof bits);
    return WASMILL_OK;
}

wasmill_result wasmill_read_json(wasmill_context *ctx, wasmill_bytes stored, yyjson_val **json) {
    *json = NULL;
    if (stored.data != NULL && wasmill_parse_json(ctx, stored, 0, json) != WASMILL_OK) {
        return wasmill_fail(
            ctx, "bad-state", "what is stored cannot be read: it is no JSON; has the plugin changed its format?");
    }
    return WASMILL_OK;
}

wasmill_bytes wasmill_write_u64(wasmill_context *ctx, uint64_t value) {
    char *data = wasmill_alloc(ctx, 8);
    store(data, value);
    return wasmill_bytes_of(data, 8);
}

wasmill_bytes wasmill_write_s64(wasmill_context *ctx, int64_t value) {
    return wasmill_write_u64(ctx, (uint64_t)value);
}

wasmill_bytes wasmill_write_f64(wasmill_context *ctx, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return wasmill_write_u64(ctx, bits);
}

wasmill_result wasmill_get_u64(wasmill_context *ctx, uint32_t number, uint64_t *value, bool *found) {
    wasmill_bytes stored;
    WASMILL_TRY(wasmill_get(ctx, number, &stored));
    if (found != NULL) {
        *found = stored.data != NULL;
    }
    return wasmill_read_u64(ctx, stored, value);
}

wasmill_result wasmill_get_s64(wasmill_context *ctx, uint32_t number, int64_t *value, bool *found) {
    uint64_t bits;
    WASMILL_TRY(wasmill_get_u64(ctx, number, &bits, found));
    memcpy(value, &bits, sizeof bits);
    return WASMILL_OK;
}

wasmill_result wasmill_get_f64(wasmill_context *ctx, uint32_t number, double *value, bool *found) {
    uint64_t bits;
    WASMILL_TRY(wasmill_get_u64(ctx, number, &bits, found));
    memcpy(value, &bits, sizeof bits);
    return WASMILL_OK;
}

wasmill_result wasmill_put_u64(wasmill_context *ctx, uint32_t number, uint64_t value) {
    char data[8];
    store(data, value);
    return wasmill_put(ctx, number, wasmill_bytes_of(data, sizeof data));
}

wasmill_result wasmill_put_s64(wasmill_context *ctx, uint32_t number, int64_t value) {
    return wasmill_put_u64(ctx, number, (uint64_t)value);
}

wasmill_result wasmill_put_f64(wasmill_context *ctx, uint32_t number, double value) {
    return wasmill_put_f64s(ctx, number, &value, 1);
}

wasmill_result wasmill_get_f64s(wasmill_context *ctx, uint32_t number, double *values, size_t count, bool *found) {
    wasmill_bytes stored;
    WASMILL_TRY(wasmill_get(ctx, number, &stored));
    if (found != NULL) {
        *found = stored.data != NULL;
    }
    if (stored.data != NULL && (count > SIZE_MAX / 8 || stored.len != count * 8)) {
        return bad_size(ctx, stored.len, count * 8);
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = stored.data == NULL ? 0 : load(stored.data + i * 8);
        memcpy(&values[i], &bits, sizeof bits);
    }
    return WASMILL_OK;
}

wasmill_result wasmill_put_f64s(wasmill_context *ctx, uint32_t number, const double *values, size_t count) {
    if (count > SIZE_MAX / 8) {
        wm_die("out of memory");
    }
    char small[64];
    char *data = count * 8 <= sizeof small ? small : wasmill_alloc(ctx, count * 8);
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        store(data + i * 8, bits);
    }
    return wasmill_put(ctx, number, wasmill_bytes_of(data, count * 8));
}

wasmill_result wasmill_get_json(wasmill_context *ctx, uint32_t number, yyjson_val **json) {
    wasmill_bytes stored;
    *json = NULL;
    WASMILL_TRY(wasmill_get(ctx, number, &stored));
    return wasmill_read_json(ctx, stored, json);
}

wasmill_result wasmill_put_json(wasmill_context *ctx, uint32_t number, yyjson_mut_doc *doc) {
    wasmill_bytes text;
    WASMILL_TRY(wasmill_write_json(ctx, doc, &text));
    return wasmill_put(ctx, number, text);
}
