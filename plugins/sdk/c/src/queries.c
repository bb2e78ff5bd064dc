/* Questions that a plugin answers: what it reads, and what it answers. */
#include <stdlib.h>

#include "internal.h"

/* Stands for that of a plugin that answers nothing; WASMILL_QUERIES defines another. */
__attribute__((weak)) wasmill_answer_function *wasmill_answers(void) {
    return NULL;
}

bool wasmill_find_parameter(const wasmill_query *query, const char *name, wasmill_bytes *value) {
    for (size_t i = 0; i < query->parameter_count; i++) {
        if (wasmill_equal(query->parameters[i].name, wasmill_text(name))) {
            *value = query->parameters[i].value;
            return true;
        }
    }
    *value = wasmill_null();
    return false;
}

/* ---- Reading ---- */

static wasmill_result number_of(wasmill_context *ctx, const char *store, uint32_t *number) {
    for (size_t i = 0; i < ctx->plugin->stores.count; i++) {
        if (strcmp(ctx->plugin->stores.list[i].name, store) == 0) {
            *number = (uint32_t)i;
            return WASMILL_OK;
        }
    }
    return wasmill_fail(ctx, "error", "the plugin has no store `%s`", store);
}

static wasmill_result not_null(wasmill_context *ctx, const char *store, wasmill_bytes key) {
    return key.data != NULL ? WASMILL_OK : wasmill_fail(ctx, "no-key", "a key of the store `%s` is null", store);
}

wasmill_result wasmill_query_get(
    wasmill_context *ctx, const char *of, const char *store, wasmill_bytes key, wasmill_bytes *value) {
    *value = wasmill_null();
    WASMILL_TRY(not_null(ctx, store, key));
    everything_list_u8_t asked = wm_list(key);
    everything_list_u8_t found = {NULL, 0};
    bool there;
    if (of != NULL) {
        everything_string_t transform = wm_string(wm_lossy(ctx->scratch, wasmill_text(of)));
        everything_string_t name = wm_string(wm_lossy(ctx->scratch, wasmill_text(store)));
        there = wasmill_plugin_stores_get(&transform, &name, &asked, &found);
    } else {
        uint32_t number;
        WASMILL_TRY(number_of(ctx, store, &number));
        there = wasmill_plugin_state_get(number, &asked, &found);
    }
    if (there) {
        *value = wm_arena_copy(ctx->scratch, wasmill_bytes_of(found.ptr, found.len));
        if (found.len > 0) {
            free(found.ptr);
        }
    }
    return WASMILL_OK;
}

wasmill_result wasmill_query_get_many(
    wasmill_context *ctx, const char *of, const char *store, const wasmill_bytes *keys, size_t count,
    wasmill_bytes *values) {
    uint32_t number = 0;
    if (of == NULL) {
        WASMILL_TRY(number_of(ctx, store, &number));
    }
    for (size_t i = 0; i < count; i++) {
        WASMILL_TRY(not_null(ctx, store, keys[i]));
    }
    wm_column asked = {0};
    for (size_t i = 0; i < count; i++) {
        wm_column_push(&asked, WM_BYTES, keys[i]);
    }
    wasmill_plugin_types_column_t view = wm_column_view(&asked);
    wasmill_plugin_types_column_t found;
    if (of != NULL) {
        everything_string_t transform = wm_string(wm_lossy(ctx->scratch, wasmill_text(of)));
        everything_string_t name = wm_string(wm_lossy(ctx->scratch, wasmill_text(store)));
        wasmill_plugin_stores_get_many(&transform, &name, &view, &found);
    } else {
        wasmill_plugin_state_get_many(number, &view, &found);
    }
    for (size_t i = 0; i < count; i++) {
        wasmill_bytes entry = wm_entry(&found, i);
        values[i] = entry.data == NULL ? entry : wm_arena_copy(ctx->scratch, entry);
    }
    wm_fetched_free(&found);
    wm_column_free(&asked);
    return WASMILL_OK;
}

wasmill_result wasmill_query_scan(
    wasmill_context *ctx, const char *of, const char *store, wasmill_bytes prefix, wasmill_bytes after, uint32_t limit,
    wasmill_entries *entries) {
    everything_list_u8_t start = wm_list(prefix);
    everything_list_u8_t behind = wm_list(after);
    everything_list_u8_t *maybe_behind = after.data == NULL ? NULL : &behind;
    wasmill_plugin_state_page_t page;
    if (of != NULL) {
        everything_string_t transform = wm_string(wm_lossy(ctx->scratch, wasmill_text(of)));
        everything_string_t name = wm_string(wm_lossy(ctx->scratch, wasmill_text(store)));
        wasmill_plugin_stores_scan(&transform, &name, &start, maybe_behind, limit, &page);
    } else {
        uint32_t number;
        WASMILL_TRY(number_of(ctx, store, &number));
        wasmill_plugin_state_scan(number, &start, maybe_behind, limit, &page);
    }
    /* Nothing else takes from this memory in a query, so a long scan needs that of one page. */
    wm_arena_reset(&ctx->call);
    size_t count = page.keys.ends.len;
    wasmill_entry *list = wm_arena_alloc(&ctx->call, count * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        list[i].key = wm_arena_copy(&ctx->call, wm_entry(&page.keys, i));
        list[i].value = wm_arena_copy(&ctx->call, wm_entry(&page.values, i));
    }
    entries->list = list;
    entries->count = count;
    entries->more = page.more;
    wm_fetched_free(&page.keys);
    wm_fetched_free(&page.values);
    return WASMILL_OK;
}

/* ---- Answering ---- */

wasmill_result wasmill_answer_bytes(wasmill_context *ctx, const char *content_type, wasmill_bytes body) {
    ctx->answer.status = 200;
    ctx->answer.content_type = wm_arena_copy(ctx->scratch, wasmill_text(content_type));
    ctx->answer.body = wm_arena_copy(ctx->scratch, body);
    return WASMILL_OK;
}

wasmill_result wasmill_answer_text(wasmill_context *ctx, wasmill_bytes text) {
    return wasmill_answer_bytes(ctx, "text/plain; charset=utf-8", text);
}

wasmill_result wasmill_answer_json(wasmill_context *ctx, yyjson_mut_doc *doc) {
    wasmill_bytes text;
    WASMILL_TRY(wasmill_write_json(ctx, doc, &text));
    return wasmill_answer_bytes(ctx, "application/json", text);
}

wasmill_result wasmill_answer_status(wasmill_context *ctx, int status) {
    if (status < 200 || status > 599) {
        return wasmill_fail(ctx, "error", "an answer has a status of 200 to 599, not %d", status);
    }
    if (ctx->answer.status == 0) {
        WASMILL_TRY(wasmill_answer_text(ctx, wasmill_text("")));
    }
    ctx->answer.status = status;
    return WASMILL_OK;
}

static wasmill_result refuse(wasmill_context *ctx, int status, const char *format, va_list arguments)
    WASMILL_PRINTF(3, 0);

static wasmill_result refuse(wasmill_context *ctx, int status, const char *format, va_list arguments) {
    WASMILL_TRY(wasmill_answer_text(ctx, wm_vformat(ctx->scratch, format, arguments)));
    return wasmill_answer_status(ctx, status);
}

wasmill_result wasmill_answer_not_found(wasmill_context *ctx, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    wasmill_result result = refuse(ctx, 404, format, arguments);
    va_end(arguments);
    return result;
}

wasmill_result wasmill_answer_bad_request(wasmill_context *ctx, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    wasmill_result result = refuse(ctx, 400, format, arguments);
    va_end(arguments);
    return result;
}

/* ---- One question ---- */

wasmill_result wm_answer(wasmill_context *ctx, const wasmill_query *query) {
    ctx->answer.status = 0;
    wm_begin_call(ctx);
    wasmill_answer_function *answer = wasmill_answers();
    if (answer == NULL) {
        return wasmill_fail(ctx, "error", "the plugin has no WASMILL_QUERIES");
    }
    WASMILL_TRY(answer(query, ctx));
    return ctx->answer.status != 0 ? WASMILL_OK : wasmill_fail(ctx, "error", "the plugin has answered nothing");
}

bool wm_answer_request(
    wasmill_context *ctx, const exports_wasmill_plugin_query_handler_request_t *request,
    exports_wasmill_plugin_query_handler_response_t *ret, everything_string_t *err) {
    wasmill_bytes *path = wm_arena_alloc(&ctx->record, request->path.len * sizeof *path);
    for (size_t i = 0; i < request->path.len; i++) {
        path[i] = wasmill_bytes_of(request->path.ptr[i].ptr, request->path.ptr[i].len);
    }
    wasmill_parameter *parameters = wm_arena_alloc(&ctx->record, request->parameters.len * sizeof *parameters);
    for (size_t i = 0; i < request->parameters.len; i++) {
        const everything_tuple2_string_string_t *own = &request->parameters.ptr[i];
        parameters[i].name = wasmill_bytes_of(own->f0.ptr, own->f0.len);
        parameters[i].value = wasmill_bytes_of(own->f1.ptr, own->f1.len);
    }
    wasmill_query query = {path, request->path.len, parameters, request->parameters.len};
    bool answered = wm_answer(ctx, &query) == WASMILL_OK;
    if (answered) {
        ret->status = (uint16_t)ctx->answer.status;
        ret->content_type = wm_owned(ctx->answer.content_type);
        ret->body = wm_owned_list(ctx->answer.body);
    } else {
        *err = wm_told(ctx);
    }
    wm_end_call(ctx);
    return answered;
}
