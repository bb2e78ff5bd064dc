/* JSON by yyjson, as strict as serde_json: what is refused there is refused here. */
#include "internal.h"

wasmill_result wasmill_parse_json(
    wasmill_context *ctx, wasmill_bytes text, yyjson_read_flag flags, yyjson_val **json) {
    *json = NULL;
    yyjson_alc alc = wm_arena_alc(ctx->scratch);
    yyjson_read_err error;
    /* Without the flag YYJSON_READ_INSITU the text is not written to. */
    yyjson_doc *doc = yyjson_read_opts(
        (char *)(uintptr_t)text.data, text.len, flags & ~YYJSON_READ_INSITU, &alc, &error);
    if (doc == NULL) {
        return wasmill_fail(
            ctx, "bad-json", "%s at byte %zu", error.code == YYJSON_READ_ERROR_INVALID_PARAMETER ? "it is empty" : error.msg,
            error.pos);
    }
    *json = yyjson_doc_get_root(doc);
    return WASMILL_OK;
}

wasmill_result wasmill_value_json(wasmill_context *ctx, yyjson_val **json) {
    *json = NULL;
    if (ctx->value.data == NULL) {
        return wasmill_fail(ctx, "no-value", "the record has no value");
    }
    return wasmill_parse_json(ctx, ctx->value, 0, json);
}

static wasmill_result field(wasmill_context *ctx, yyjson_val *object, const char *name, yyjson_val **value) {
    if (!yyjson_is_obj(object)) {
        return wasmill_fail(ctx, "bad-json", "it is no object");
    }
    size_t len = strlen(name);
    size_t i;
    size_t count;
    yyjson_val *key;
    yyjson_val *own;
    *value = NULL;
    yyjson_obj_foreach(object, i, count, key, own) {
        if (yyjson_equals_strn(key, name, len)) {
            if (*value != NULL) {
                return wasmill_fail(ctx, "bad-json", "the field `%s` is there twice", name);
            }
            *value = own;
        }
    }
    return *value == NULL ? wasmill_fail(ctx, "bad-json", "the field `%s` is missing", name) : WASMILL_OK;
}

static wasmill_result wrong(wasmill_context *ctx, const char *name, const char *expected, yyjson_val *value) {
    return wasmill_fail(ctx, "bad-json", "the field `%s` is %s, not %s", name, yyjson_get_type_desc(value), expected);
}

wasmill_result wasmill_field_text(wasmill_context *ctx, yyjson_val *object, const char *name, wasmill_bytes *text) {
    yyjson_val *value;
    WASMILL_TRY(field(ctx, object, name, &value));
    if (!yyjson_is_str(value)) {
        return wrong(ctx, name, "text", value);
    }
    *text = wasmill_bytes_of(yyjson_get_str(value), yyjson_get_len(value));
    return WASMILL_OK;
}

wasmill_result wasmill_field_f64(wasmill_context *ctx, yyjson_val *object, const char *name, double *number) {
    yyjson_val *value;
    WASMILL_TRY(field(ctx, object, name, &value));
    if (!yyjson_is_num(value)) {
        return wrong(ctx, name, "a number", value);
    }
    *number = yyjson_get_num(value);
    return WASMILL_OK;
}

static bool is_s64(yyjson_val *value) {
    return yyjson_is_sint(value) || (yyjson_is_uint(value) && yyjson_get_uint(value) <= INT64_MAX);
}

wasmill_result wasmill_field_s64(wasmill_context *ctx, yyjson_val *object, const char *name, int64_t *number) {
    yyjson_val *value;
    WASMILL_TRY(field(ctx, object, name, &value));
    if (!is_s64(value)) {
        return wrong(ctx, name, "a whole number of 64 bits", value);
    }
    *number = yyjson_get_sint(value);
    return WASMILL_OK;
}

wasmill_result wasmill_field_bool(wasmill_context *ctx, yyjson_val *object, const char *name, bool *truth) {
    yyjson_val *value;
    WASMILL_TRY(field(ctx, object, name, &value));
    if (!yyjson_is_bool(value)) {
        return wrong(ctx, name, "true or false", value);
    }
    *truth = yyjson_get_bool(value);
    return WASMILL_OK;
}

yyjson_val *wm_last_field(yyjson_val *object, wasmill_bytes name) {
    size_t i;
    size_t count;
    yyjson_val *key;
    yyjson_val *value;
    yyjson_val *last = NULL;
    yyjson_obj_foreach(object, i, count, key, value) {
        if (yyjson_equals_strn(key, name.data, name.len)) {
            last = value;
        }
    }
    return last;
}

/* Whether a part of a pointer, `~1` and `~0` undone, is this name. */
static bool part_is(wasmill_bytes part, yyjson_val *key) {
    const char *name = yyjson_get_str(key);
    size_t len = yyjson_get_len(key);
    size_t at = 0;
    for (size_t i = 0; i < part.len; i++, at++) {
        char c = part.data[i];
        if (c == '~' && i + 1 < part.len && (part.data[i + 1] == '0' || part.data[i + 1] == '1')) {
            c = part.data[++i] == '1' ? '/' : '~';
        }
        if (at >= len || name[at] != c) {
            return false;
        }
    }
    return at == len;
}

static yyjson_val *child(yyjson_val *json, wasmill_bytes part) {
    size_t i;
    size_t count;
    yyjson_val *key;
    yyjson_val *value;
    if (yyjson_is_obj(json)) {
        yyjson_val *last = NULL;
        yyjson_obj_foreach(json, i, count, key, value) {
            if (part_is(part, key)) {
                last = value;
            }
        }
        return last;
    }
    if (!yyjson_is_arr(json) || part.len == 0 || part.len > 9 || (part.len > 1 && part.data[0] == '0')) {
        return NULL;
    }
    size_t index = 0;
    for (i = 0; i < part.len; i++) {
        if (part.data[i] < '0' || part.data[i] > '9') {
            return NULL;
        }
        index = index * 10 + (size_t)(part.data[i] - '0');
    }
    return yyjson_arr_get(json, index);
}

yyjson_val *wasmill_json_at(yyjson_val *json, wasmill_bytes pointer) {
    size_t at = 0;
    while (json != NULL && at < pointer.len) {
        if (pointer.data[at] != '/') {
            return NULL;
        }
        size_t end = at + 1;
        while (end < pointer.len && pointer.data[end] != '/') {
            end++;
        }
        json = child(json, wasmill_bytes_of(pointer.data + at + 1, end - at - 1));
        at = end;
    }
    return json;
}

yyjson_mut_doc *wasmill_new_json(wasmill_context *ctx) {
    yyjson_alc alc = wm_arena_alc(ctx->scratch);
    return yyjson_mut_doc_new(&alc);
}

wasmill_result wasmill_write_json(wasmill_context *ctx, yyjson_mut_doc *doc, wasmill_bytes *text) {
    yyjson_alc alc = wm_arena_alc(ctx->scratch);
    yyjson_write_err error;
    size_t len;
    char *out = yyjson_mut_write_opts(doc, YYJSON_WRITE_INF_AND_NAN_AS_NULL, &alc, &len, &error);
    if (out == NULL) {
        bool text_is_bad = error.code == YYJSON_WRITE_ERROR_INVALID_STRING;
        return wasmill_fail(ctx, text_is_bad ? "bad-utf8" : "error", "the JSON cannot be written: %s", error.msg);
    }
    *text = wasmill_bytes_of(out, len);
    return WASMILL_OK;
}
