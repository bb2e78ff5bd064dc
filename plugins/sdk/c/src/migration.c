/* State that an earlier version of the plugin has stored. */
#include <stdlib.h>

#include "internal.h"

enum { PAGE = 1000 };

/* Stands for that of a plugin that migrates nothing; WASMILL_MIGRATES defines another. */
__attribute__((weak)) wasmill_migrate_function *wasmill_migrates(void) {
    return NULL;
}

static wasmill_result check(wasmill_context *ctx, uint32_t store, wasmill_bytes key) {
    if (store >= ctx->plugin->stores.count) {
        wm_die("there is no store of this number in the plugin's list of stores");
    }
    return key.data != NULL ? WASMILL_OK : wasmill_fail(ctx, "no-key", "a key is null");
}

wasmill_result wasmill_migration_get(wasmill_context *ctx, uint32_t store, wasmill_bytes key, wasmill_bytes *value) {
    *value = wasmill_null();
    WASMILL_TRY(check(ctx, store, key));
    everything_list_u8_t asked = wm_list(key);
    everything_list_u8_t found = {NULL, 0};
    if (wasmill_plugin_state_get(store, &asked, &found)) {
        *value = wm_arena_copy(ctx->scratch, wasmill_bytes_of(found.ptr, found.len));
        if (found.len > 0) {
            free(found.ptr);
        }
    }
    return WASMILL_OK;
}

wasmill_result wasmill_migration_put(wasmill_context *ctx, uint32_t store, wasmill_bytes key, wasmill_bytes value) {
    WASMILL_TRY(check(ctx, store, key));
    everything_list_u8_t at = wm_list(key);
    everything_list_u8_t bytes = wm_list(value);
    wasmill_plugin_state_put(store, &at, &bytes);
    return WASMILL_OK;
}

wasmill_result wasmill_migration_remove(wasmill_context *ctx, uint32_t store, wasmill_bytes key) {
    WASMILL_TRY(check(ctx, store, key));
    everything_list_u8_t at = wm_list(key);
    wasmill_plugin_state_remove(store, &at);
    return WASMILL_OK;
}

/* Changes the entries of a page. */
static wasmill_result change_page(
    wasmill_context *ctx, uint32_t store, const wasmill_plugin_state_page_t *page, wasmill_change_function *change,
    void *data) {
    for (size_t i = 0; i < page->keys.ends.len; i++) {
        wasmill_bytes key = wm_entry(&page->keys, i);
        wasmill_bytes now = wasmill_null();
        WASMILL_TRY(change(key, wm_entry(&page->values, i), &now, ctx, data));
        if (now.data == NULL) {
            WASMILL_TRY(wasmill_migration_remove(ctx, store, key));
        } else {
            WASMILL_TRY(wasmill_migration_put(ctx, store, key, now));
        }
    }
    return WASMILL_OK;
}

wasmill_result wasmill_migration_rewrite(
    wasmill_context *ctx, uint32_t store, wasmill_change_function *change, void *data) {
    WASMILL_TRY(check(ctx, store, wasmill_text("")));
    wm_arena *scratch = ctx->scratch;
    if (scratch == &ctx->call) {
        wm_die("wasmill_migration_rewrite is called by its own `change`");
    }
    wm_arena last = {NULL}; /* the last key of the page before */
    everything_list_u8_t prefix = {NULL, 0};
    everything_list_u8_t after = {NULL, 0};
    everything_list_u8_t *maybe_after = NULL;
    wasmill_result result = WASMILL_OK;
    bool more = true;
    while (more && result == WASMILL_OK) {
        wasmill_plugin_state_page_t page;
        wasmill_plugin_state_scan(store, &prefix, maybe_after, PAGE, &page);
        /* What `change` allocates lasts for its page, so that any number of entries fit; and what it says of a
         * failure lasts until that is told. */
        wm_arena_reset(&ctx->call);
        ctx->scratch = &ctx->call;
        result = change_page(ctx, store, &page, change, data);
        ctx->scratch = scratch;
        size_t count = page.keys.ends.len;
        more = page.more && count > 0;
        if (more) {
            wm_arena_reset(&last);
            after = wm_list(wm_arena_copy(&last, wm_entry(&page.keys, count - 1)));
            maybe_after = &after;
        }
        wm_fetched_free(&page.keys);
        wm_fetched_free(&page.values);
    }
    wm_arena_free(&last);
    return result;
}

wasmill_result wm_migrate(wasmill_context *ctx, uint32_t from) {
    wm_begin_call(ctx);
    wasmill_migrate_function *migrate = wasmill_migrates();
    return migrate != NULL ? migrate(from, ctx) : wasmill_fail(ctx, "error", "the plugin has no WASMILL_MIGRATES");
}

bool wm_migrate_from(wasmill_context *ctx, uint32_t from, everything_string_t *err) {
    bool migrated = wm_migrate(ctx, from) == WASMILL_OK;
    if (!migrated) {
        *err = wm_told(ctx);
    }
    wm_end_call(ctx);
    return migrated;
}
