/* Adds fields to a JSON object: fixed ones from the configuration, and the values of headers.
 *
 * What is there already stays, in its order and with its numbers as they were written; a field of
 * the same name is replaced where it stands. */
#include "wasmill.h"

static const wasmill_port PORTS[] = {
    {.name = "out", .doc = "The record with the fields added"},
};

/* The two tables of the config; either may be NULL. */
struct enrich {
    yyjson_val *fields;
    yyjson_val *headers;
};

static wasmill_bytes text_of(yyjson_val *text) {
    return wasmill_bytes_of(yyjson_get_str(text), yyjson_get_len(text));
}

static void configure(yyjson_val *config, wasmill_context *ctx) {
    struct enrich *self = wasmill_instance(ctx);
    wasmill_known_options(ctx, config, "fields", "headers", NULL);
    wasmill_option_object(ctx, config, "fields", &self->fields);
    wasmill_option_object(ctx, config, "headers", &self->headers);
    size_t i;
    size_t count;
    yyjson_val *field;
    yyjson_val *header;
    yyjson_obj_foreach(self->headers, i, count, field, header) {
        wasmill_bytes name = text_of(field);
        const char *place = wasmill_pointer(ctx, "/headers", name);
        if (!yyjson_is_str(header)) {
            wasmill_problem(ctx, place, "must be the name of a header");
        } else if (yyjson_obj_getn(self->fields, name.data, name.len) != NULL) {
            wasmill_problem(ctx, place, "`fields` sets `%.*s` too", WASMILL_ARG(name));
        }
    }
}

/* Replaces the field, all of them where the name repeats, or adds it at the end. */
static void set(yyjson_mut_doc *doc, yyjson_val *name, yyjson_mut_val *value) {
    yyjson_mut_val *object = yyjson_mut_doc_get_root(doc);
    yyjson_mut_val *key = yyjson_mut_strn(doc, yyjson_get_str(name), yyjson_get_len(name));
    if (!yyjson_mut_obj_replace(object, key, value)) {
        yyjson_mut_obj_add(object, key, value);
        return;
    }
    bool first = true;
    yyjson_mut_obj_iter iter = yyjson_mut_obj_iter_with(object);
    for (yyjson_mut_val *own = yyjson_mut_obj_iter_next(&iter); own != NULL; own = yyjson_mut_obj_iter_next(&iter)) {
        if (yyjson_mut_equals_strn(own, yyjson_get_str(name), yyjson_get_len(name))) {
            if (!first) {
                yyjson_mut_obj_iter_remove(&iter);
            }
            first = false;
        }
    }
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool equal_ignoring_case(wasmill_bytes a, wasmill_bytes b) {
    bool equal = a.len == b.len;
    for (size_t i = 0; equal && i < a.len; i++) {
        equal = lower(a.data[i]) == lower(b.data[i]);
    }
    return equal;
}

/* The last header of this name, as JSON; NULL when there is none. */
static wasmill_result find(wasmill_context *ctx, yyjson_mut_doc *doc, yyjson_val *name, yyjson_mut_val **value) {
    *value = NULL;
    for (size_t i = wasmill_header_count(ctx); i > 0; i--) {
        wasmill_header header = wasmill_header_at(ctx, i - 1);
        if (!equal_ignoring_case(header.name, text_of(name))) {
            continue;
        }
        if (!wasmill_is_utf8(header.value)) {
            return wasmill_fail(ctx, "bad-utf8", "the header `%.*s` is no valid UTF-8", WASMILL_ARG(header.name));
        }
        *value = header.value.data == NULL ? yyjson_mut_null(doc)
                                           : yyjson_mut_strn(doc, header.value.data, header.value.len);
        return WASMILL_OK;
    }
    return WASMILL_OK;
}

static wasmill_result process(const wasmill_record *record, wasmill_context *ctx) {
    struct enrich *self = wasmill_instance(ctx);
    if (record->value.data == NULL) {
        /* A tombstone stays one. */
        return wasmill_emit(ctx, wasmill_null());
    }
    size_t i;
    size_t count;
    yyjson_val *name;
    yyjson_val *value;
    yyjson_mut_val *found;
    yyjson_mut_doc *doc = wasmill_new_json(ctx);
    yyjson_obj_foreach(self->headers, i, count, name, value) {
        WASMILL_TRY(find(ctx, doc, value, &found));
    }
    yyjson_val *json;
    WASMILL_TRY(wasmill_parse_json(ctx, record->value, YYJSON_READ_NUMBER_AS_RAW, &json));
    if (!yyjson_is_obj(json)) {
        return wasmill_fail(ctx, "bad-json", "it is no object");
    }
    yyjson_mut_doc_set_root(doc, yyjson_val_mut_copy(doc, json));
    yyjson_obj_foreach(self->fields, i, count, name, value) {
        set(doc, name, yyjson_val_mut_copy(doc, value));
    }
    yyjson_obj_foreach(self->headers, i, count, name, value) {
        WASMILL_TRY(find(ctx, doc, value, &found));
        if (found != NULL) {
            set(doc, name, found);
        }
    }
    return wasmill_emit_json(ctx, doc);
}

static const wasmill_plugin PLUGIN = {
    .name = "enrich",
    .version = "0.1.0",
    .doc = "Adds fields from headers and from the configuration to a JSON value",
    .ports = {PORTS, WASMILL_COUNT(PORTS)},
    .reads_headers = true,
    .config_schema =
        "{\"type\":\"object\",\"properties\":{"
        "\"fields\":{\"description\":\"Fields to add, and their values.\",\"type\":\"object\"},"
        "\"headers\":{\"description\":\"Fields to add, and the headers whose values they get. Header names are "
        "compared without regard to ASCII case; a field whose header is missing is not added.\","
        "\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}},"
        "\"additionalProperties\":false}",
    .instance_size = sizeof(struct enrich),
    .configure = configure,
    .process = process,
};
WASMILL_EXPORT(PLUGIN)
