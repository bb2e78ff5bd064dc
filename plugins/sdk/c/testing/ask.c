/* Asks a plugin under test, and lets it migrate. */
#include <stdlib.h>

#include "testing.h"

/* Keeps why the plugin failed. */
static void keep_failure(wasmill_test *t) {
    const wm_failure *own = &t->ctx->failure;
    wasmill_test_failure failure = {
        .code = wm_arena_copy(&t->results, own->code).data,
        .message = wm_arena_copy(&t->results, own->message).data,
        .detail = wm_arena_copy(&t->results, own->detail).data,
    };
    WM_PUSH(t->failures, failure);
}

/* The part of a text up to one of these bytes, or to its end; `*text` is what comes after it. */
static wasmill_bytes cut(const char **text, const char *ends) {
    size_t len = strcspn(*text, ends);
    wasmill_bytes part = wasmill_bytes_of(*text, len);
    *text += len + ((*text)[len] != 0);
    return part;
}

wasmill_test_answer wasmill_test_ask(wasmill_test *t, const char *path) {
    wmt_begin(t);
    WM_LIST(wasmill_bytes) parts = {0};
    WM_LIST(wasmill_parameter) parameters = {0};
    const char *rest = wm_arena_copy(&t->results, wasmill_text(path)).data;
    const char *question = strchr(rest, '?');
    size_t path_len = strcspn(rest, "?");
    const char *segments = wm_arena_copy(&t->results, wasmill_bytes_of(rest, path_len)).data;
    while (*segments != 0) {
        wasmill_bytes part = cut(&segments, "/");
        if (part.len > 0) {
            WM_PUSH(parts, part);
        }
    }
    const char *pairs = question == NULL ? "" : question + 1;
    while (*pairs != 0) {
        wasmill_bytes pair = cut(&pairs, "&");
        const char *equals = pair.len == 0 ? NULL : memchr(pair.data, '=', pair.len);
        size_t name = equals == NULL ? pair.len : (size_t)(equals - pair.data);
        wasmill_parameter parameter = {wasmill_bytes_of(pair.data, name), wasmill_text("")};
        if (equals != NULL) {
            parameter.value = wasmill_bytes_of(equals + 1, pair.len - name - 1);
        }
        if (pair.len > 0) {
            WM_PUSH(parameters, parameter);
        }
    }
    wasmill_query query = {parts.list, parts.count, parameters.list, parameters.count};
    wasmill_test_answer answer = {0, "", {NULL, 0}};
    if (wm_answer(t->ctx, &query) == WASMILL_OK) {
        answer.status = t->ctx->answer.status;
        answer.content_type = wm_arena_copy(&t->results, t->ctx->answer.content_type).data;
        answer.body = wm_arena_copy(&t->results, t->ctx->answer.body);
    } else {
        keep_failure(t);
    }
    wm_end_call(t->ctx);
    free(parts.list);
    free(parameters.list);
    return answer;
}

bool wasmill_test_migrate(wasmill_test *t, uint32_t from) {
    wmt_begin(t);
    /* Keys and values are never given back, so the list is all there is to keep. */
    wmt_entries before = {0};
    for (size_t i = 0; i < t->entries.count; i++) {
        WM_PUSH(before, t->entries.list[i]);
    }
    bool migrated = wm_migrate(t->ctx, from) == WASMILL_OK;
    if (migrated) {
        free(before.list);
    } else {
        keep_failure(t);
        free(t->entries.list);
        t->entries = before;
    }
    wm_end_call(t->ctx);
    return migrated;
}
