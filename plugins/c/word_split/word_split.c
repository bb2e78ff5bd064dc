/* Splits text into lower-case words; each leaves with itself as key and value. */
#include "words.h"

static const wasmill_port PORTS[] = {
    {.name = "out", .doc = "One record per word, the word as key and value", .rekeys = true},
};

struct word_split {
    const char *pointer; /* NULL: the value is the text */
};

static void configure(yyjson_val *config, wasmill_context *ctx) {
    struct word_split *self = wasmill_instance(ctx);
    wasmill_known_options(ctx, config, "field", NULL);
    wasmill_bytes field;
    if (!wasmill_option_text(ctx, config, "field", &field)) {
        return;
    }
    if (field.len == 0) {
        wasmill_problem(ctx, "/field", "must not be empty");
    } else if (memchr(field.data, 0, field.len) != NULL) {
        wasmill_problem(ctx, "/field", "must not contain the character U+0000");
    } else {
        self->pointer = field.data[0] == '/' ? wasmill_format(ctx, "%.*s", WASMILL_ARG(field)).data
                                             : wasmill_pointer(ctx, "", field);
    }
}

static wasmill_result split(wasmill_context *ctx, wasmill_bytes text) {
    for (wasmill_bytes word = next_word(&text); word.data != NULL; word = next_word(&text)) {
        wasmill_bytes lower = lower_case(ctx, word);
        wasmill_output output = {.value = wasmill_given(lower), .key = wasmill_given(lower)};
        WASMILL_TRY(wasmill_send(ctx, &output));
    }
    return WASMILL_OK;
}

static wasmill_result process(const wasmill_record *record, wasmill_context *ctx) {
    const struct word_split *self = wasmill_instance(ctx);
    wasmill_bytes text;
    if (record->value.data == NULL) {
        return WASMILL_OK; /* a tombstone holds no words */
    }
    if (self->pointer == NULL) {
        WASMILL_TRY(wasmill_value_text(ctx, &text));
        return split(ctx, text);
    }
    yyjson_val *json;
    WASMILL_TRY(wasmill_value_json(ctx, &json));
    json = wasmill_json_at(json, wasmill_text(self->pointer));
    if (json == NULL) {
        return wasmill_fail(ctx, "no-field", "the value has nothing at `%s`", self->pointer);
    }
    if (!yyjson_is_str(json)) {
        return wasmill_fail(ctx, "not-text", "what is at `%s` is no text", self->pointer);
    }
    return split(ctx, wasmill_bytes_of(yyjson_get_str(json), yyjson_get_len(json)));
}

static const wasmill_plugin PLUGIN = {
    .name = "word_split",
    .version = "0.1.0",
    .doc = "Splits text into lower-case words",
    .ports = {PORTS, WASMILL_COUNT(PORTS)},
    .config_schema =
        "{\"type\":\"object\",\"properties\":{\"field\":{\"description\":\"Where the text is in a JSON value: a JSON "
        "Pointer, or the name of a field. Left out: the value is the text.\",\"type\":\"string\",\"minLength\":1}},"
        "\"additionalProperties\":false}",
    .instance_size = sizeof(struct word_split),
    .configure = configure,
    .process = process,
};
WASMILL_EXPORT(PLUGIN)
