/* The options of the config table, and what is wrong with them. */
#include "internal.h"

static void problem(wasmill_context *ctx, const char *pointer, wasmill_bytes message) {
    wm_problem own = {wm_arena_copy(&ctx->lasting, wasmill_text(pointer)), message};
    WM_PUSH(ctx->problems, own);
}

void wasmill_problem(wasmill_context *ctx, const char *pointer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    problem(ctx, pointer, wm_vformat(&ctx->lasting, format, arguments));
    va_end(arguments);
}

const char *wasmill_pointer(wasmill_context *ctx, const char *pointer, wasmill_bytes part) {
    size_t before = strlen(pointer);
    size_t size;
    if (__builtin_mul_overflow(part.len, 2, &size) || __builtin_add_overflow(size, before + 2, &size)) {
        wm_die("out of memory");
    }
    char *out = wasmill_alloc(ctx, size);
    memcpy(out, pointer, before);
    size_t at = before;
    out[at++] = '/';
    for (size_t i = 0; i < part.len; i++) {
        char c = part.data[i];
        if (c == '~' || c == '/') {
            out[at++] = '~';
            c = c == '~' ? '0' : '1';
        }
        out[at++] = c;
    }
    out[at] = 0;
    return out;
}

void wasmill_known_options(wasmill_context *ctx, yyjson_val *config, ...) {
    size_t i;
    size_t count;
    yyjson_val *key;
    yyjson_val *value;
    yyjson_obj_foreach(config, i, count, key, value) {
        wasmill_bytes name = wasmill_bytes_of(yyjson_get_str(key), yyjson_get_len(key));
        bool known = false;
        wasmill_bytes all = wasmill_null();
        va_list names;
        va_start(names, config);
        for (const char *own = va_arg(names, const char *); own != NULL; own = va_arg(names, const char *)) {
            known = known || wasmill_equal(name, wasmill_text(own));
            all = wasmill_format(ctx, "%.*s%s`%s`", WASMILL_ARG(all), all.len > 0 ? ", " : "", own);
        }
        va_end(names);
        if (!known && all.len > 0) {
            wasmill_problem(ctx, wasmill_pointer(ctx, "", name), "unknown option; there are %.*s", WASMILL_ARG(all));
        } else if (!known) {
            wasmill_problem(ctx, wasmill_pointer(ctx, "", name), "unknown option; the plugin has none");
        }
    }
}

/* The option; NULL when it is not given. */
static yyjson_val *option(yyjson_val *config, const char *name) {
    yyjson_val *value = wm_last_field(config, wasmill_text(name));
    return yyjson_is_null(value) ? NULL : value;
}

bool wasmill_required(wasmill_context *ctx, yyjson_val *config, const char *name) {
    if (option(config, name) != NULL) {
        return true;
    }
    wasmill_problem(ctx, wasmill_pointer(ctx, "", wasmill_text(name)), "is required");
    return false;
}

static bool wrong(wasmill_context *ctx, const char *name, const char *expected) {
    wasmill_problem(ctx, wasmill_pointer(ctx, "", wasmill_text(name)), "must be %s", expected);
    return false;
}

bool wasmill_option_text(wasmill_context *ctx, yyjson_val *config, const char *name, wasmill_bytes *text) {
    yyjson_val *value = option(config, name);
    if (value == NULL) {
        return false;
    }
    if (!yyjson_is_str(value)) {
        return wrong(ctx, name, "text");
    }
    *text = wasmill_bytes_of(yyjson_get_str(value), yyjson_get_len(value));
    return true;
}

bool wasmill_option_s64(wasmill_context *ctx, yyjson_val *config, const char *name, int64_t *number) {
    yyjson_val *value = option(config, name);
    if (value == NULL) {
        return false;
    }
    if (!yyjson_is_int(value) || (yyjson_is_uint(value) && yyjson_get_uint(value) > INT64_MAX)) {
        return wrong(ctx, name, "a whole number");
    }
    *number = yyjson_get_sint(value);
    return true;
}

bool wasmill_option_f64(wasmill_context *ctx, yyjson_val *config, const char *name, double *number) {
    yyjson_val *value = option(config, name);
    if (value == NULL) {
        return false;
    }
    if (!yyjson_is_num(value)) {
        return wrong(ctx, name, "a number");
    }
    *number = yyjson_get_num(value);
    return true;
}

bool wasmill_option_bool(wasmill_context *ctx, yyjson_val *config, const char *name, bool *truth) {
    yyjson_val *value = option(config, name);
    if (value == NULL) {
        return false;
    }
    if (!yyjson_is_bool(value)) {
        return wrong(ctx, name, "true or false");
    }
    *truth = yyjson_get_bool(value);
    return true;
}

bool wasmill_option_object(wasmill_context *ctx, yyjson_val *config, const char *name, yyjson_val **object) {
    yyjson_val *value = option(config, name);
    if (value == NULL) {
        return false;
    }
    if (!yyjson_is_obj(value)) {
        return wrong(ctx, name, "a table");
    }
    *object = value;
    return true;
}
