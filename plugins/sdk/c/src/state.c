/* State during one call: read with one host call per store, written with one, and taken back
 * record by record. */
#include <stdlib.h>

#include "internal.h"

enum { UNKNOWN, ABSENT, PRESENT };

static uint32_t hash_of(wasmill_bytes key) {
    uint64_t hash = key.len;
    size_t i = 0;
    while (i < key.len) {
        uint64_t word = 0;
        size_t step = key.len - i < sizeof word ? key.len - i : sizeof word;
        memcpy(&word, key.data + i, step);
        hash = (((hash << 5) | (hash >> 59)) ^ word) * UINT64_C(0x517cc1b727220a95);
        i += step;
    }
    return (uint32_t)(hash >> 32);
}

static void rehash(wm_cache *cache) {
    size_t size = cache->table.count == 0 ? 64 : cache->table.count * 2;
    WM_RESERVE(cache->table, size);
    cache->table.count = size;
    memset(cache->table.list, 0, size * sizeof *cache->table.list);
    for (uint32_t slot = 0; slot < cache->slots.count; slot++) {
        size_t at = cache->slots.list[slot].hash & (size - 1);
        while (cache->table.list[at] != 0) {
            at = (at + 1) & (size - 1);
        }
        cache->table.list[at] = slot + 1;
    }
}

/* The slot of any key. `copy`: the key does not live as long as the call. */
static uint32_t slot_of(wasmill_context *ctx, wasmill_bytes key, bool copy) {
    wm_cache *cache = &ctx->cache;
    if ((cache->slots.count + 1) * 2 > cache->table.count) {
        rehash(cache);
    }
    uint32_t hash = hash_of(key);
    size_t mask = cache->table.count - 1;
    size_t at = hash & mask;
    while (cache->table.list[at] != 0) {
        uint32_t slot = cache->table.list[at] - 1;
        if (cache->slots.list[slot].hash == hash && wasmill_equal(cache->slots.list[slot].key, key)) {
            return slot;
        }
        at = (at + 1) & mask;
    }
    uint32_t slot = (uint32_t)cache->slots.count;
    wm_slot fresh = {copy ? wm_arena_copy(&ctx->call, key) : key, hash, 0};
    WM_PUSH(cache->slots, fresh);
    cache->table.list[at] = slot + 1;
    return slot;
}

uint32_t wm_record_slot(wasmill_context *ctx) {
    wm_cache *cache = &ctx->cache;
    wm_needs_records(ctx);
    if (cache->record_slots == NULL) {
        cache->record_slots = wm_arena_alloc(&ctx->call, (size_t)ctx->count * sizeof *cache->record_slots);
        for (uint32_t i = 0; i < ctx->count; i++) {
            wasmill_bytes key = wm_entry(ctx->keys, i);
            cache->record_slots[i] = key.data == NULL ? (uint32_t)WM_NO_SLOT : slot_of(ctx, key, false);
        }
    }
    return cache->record_slots[ctx->index];
}

static wm_entry_state *entry_at(wm_store_cache *cache, uint32_t slot) {
    while (cache->entries.count <= slot) {
        wm_entry_state unknown = {UNKNOWN, false, {NULL, 0}};
        WM_PUSH(cache->entries, unknown);
    }
    return &cache->entries.list[slot];
}

/* Fetches what is stored under all keys of the call. */
static void prefetch(wasmill_context *ctx, uint32_t store) {
    wm_store_cache *cache = &ctx->cache.stores[store];
    wm_column keys = {0};
    for (size_t slot = 0; slot < ctx->cache.slots.count; slot++) {
        wm_column_push(&keys, WM_BYTES, ctx->cache.slots.list[slot].key);
    }
    wasmill_plugin_types_column_t view = wm_column_view(&keys);
    wasmill_plugin_state_get_many(store, &view, &cache->fetched);
    for (uint32_t slot = 0; slot < keys.ends.count; slot++) {
        wm_entry_state *entry = entry_at(cache, slot);
        /* What was written before the first read stays. */
        if (entry->kind == UNKNOWN) {
            entry->value = wm_entry(&cache->fetched, slot);
            entry->kind = entry->value.data == NULL ? ABSENT : PRESENT;
        }
    }
    cache->prefetched = true;
    wm_column_free(&keys);
}

/* `ahead`: the first read fetches the values of all keys of the call. */
static wasmill_bytes get(wasmill_context *ctx, uint32_t store, uint32_t slot, bool ahead) {
    wm_store_cache *cache = &ctx->cache.stores[store];
    if (ahead && !cache->prefetched) {
        prefetch(ctx, store);
    }
    wm_entry_state *entry = entry_at(cache, slot);
    if (entry->kind == UNKNOWN) {
        everything_list_u8_t key = wm_list(ctx->cache.slots.list[slot].key);
        everything_list_u8_t value = {NULL, 0};
        if (wasmill_plugin_state_get(store, &key, &value)) {
            entry->value = wm_arena_copy(&ctx->call, wasmill_bytes_of(value.ptr, value.len));
            entry->kind = PRESENT;
            if (value.len > 0) {
                free(value.ptr);
            }
        } else {
            entry->kind = ABSENT;
        }
    }
    return entry->kind == PRESENT ? entry->value : wasmill_null();
}

/* A null value removes. */
static void set(wasmill_context *ctx, uint32_t store, uint32_t slot, wasmill_bytes value) {
    wm_store_cache *cache = &ctx->cache.stores[store];
    wm_entry_state *entry = entry_at(cache, slot);
    wm_undo undo = {store, slot, *entry};
    WM_PUSH(ctx->cache.undo, undo);
    if (!entry->dirty) {
        WM_PUSH(cache->dirty, slot);
    }
    entry->kind = value.data == NULL ? ABSENT : PRESENT;
    entry->dirty = true;
    entry->value = value.data == NULL ? value : wm_arena_copy(&ctx->call, value);
}

void wm_state_keep(wasmill_context *ctx) {
    ctx->cache.undo.count = 0;
}

void wm_state_rollback(wasmill_context *ctx) {
    while (ctx->cache.undo.count > 0) {
        wm_undo *undo = &ctx->cache.undo.list[--ctx->cache.undo.count];
        ctx->cache.stores[undo->store].entries.list[undo->slot] = undo->entry;
    }
}

void wm_state_flush(wasmill_context *ctx) {
    for (uint32_t store = 0; store < ctx->plugin->stores.count; store++) {
        wm_store_cache *cache = &ctx->cache.stores[store];
        wm_column keys = {0};
        wm_column values = {0};
        for (size_t i = 0; i < cache->dirty.count; i++) {
            uint32_t slot = cache->dirty.list[i];
            wm_entry_state *entry = &cache->entries.list[slot];
            if (!entry->dirty) {
                continue; /* rolled back, or written already */
            }
            entry->dirty = false;
            wm_column_push(&keys, WM_BYTES, ctx->cache.slots.list[slot].key);
            wm_column_push(&values, entry->kind == PRESENT ? WM_BYTES : WM_NULL, entry->value);
        }
        if (keys.ends.count > 0) {
            wasmill_plugin_types_column_t of_keys = wm_column_view(&keys);
            wasmill_plugin_types_column_t of_values = wm_column_view(&values);
            wasmill_plugin_state_put_many(store, &of_keys, &of_values);
        }
        wm_column_free(&keys);
        wm_column_free(&values);
    }
}

void wm_state_reset(wasmill_context *ctx) {
    for (size_t store = 0; store < ctx->plugin->stores.count; store++) {
        wm_store_cache *cache = &ctx->cache.stores[store];
        wm_fetched_free(&cache->fetched);
        cache->entries.count = 0;
        cache->dirty.count = 0;
        cache->prefetched = false;
    }
    if (ctx->cache.slots.count > 0) {
        memset(ctx->cache.table.list, 0, ctx->cache.table.count * sizeof *ctx->cache.table.list);
    }
    ctx->cache.slots.count = 0;
    ctx->cache.undo.count = 0;
    ctx->cache.record_slots = NULL;
}

void wm_state_free(wasmill_context *ctx) {
    for (size_t store = 0; store < ctx->plugin->stores.count; store++) {
        wm_fetched_free(&ctx->cache.stores[store].fetched);
        free(ctx->cache.stores[store].entries.list);
        free(ctx->cache.stores[store].dirty.list);
    }
    free(ctx->cache.stores);
    free(ctx->cache.slots.list);
    free(ctx->cache.table.list);
    free(ctx->cache.undo.list);
}

/* ---- What plugins call ---- */

/* A number that is none of the plugin's stores is a mistake in its code, as an index out of bounds. */
static const wasmill_store *store_of(wasmill_context *ctx, uint32_t store) {
    if (store >= ctx->plugin->stores.count) {
        wm_die("there is no store of this number in the plugin's list of stores");
    }
    return &ctx->plugin->stores.list[store];
}

static wasmill_result own_slot(wasmill_context *ctx, uint32_t store, uint32_t *slot) {
    store_of(ctx, store);
    *slot = wm_record_slot(ctx);
    return *slot == WM_NO_SLOT ? wasmill_fail(ctx, "no-key", "the record has no key") : WASMILL_OK;
}

static wasmill_result shared_slot(wasmill_context *ctx, uint32_t store, wasmill_bytes key, uint32_t *slot) {
    const wasmill_store *own = store_of(ctx, store);
    wm_needs_records(ctx);
    if (own->keyed) {
        return wasmill_fail(ctx, "keyed-store", "the store `%s` is keyed by the record; declare it shared", own->name);
    }
    if (key.data == NULL) {
        return wasmill_fail(ctx, "no-key", "a key of the store `%s` is null", own->name);
    }
    *slot = slot_of(ctx, key, true);
    return WASMILL_OK;
}

static wasmill_bytes not_null(wasmill_bytes value) {
    return value.data == NULL ? wasmill_bytes_of("", 0) : value;
}

wasmill_result wasmill_get(wasmill_context *ctx, uint32_t store, wasmill_bytes *value) {
    uint32_t slot;
    WASMILL_TRY(own_slot(ctx, store, &slot));
    *value = get(ctx, store, slot, true);
    return WASMILL_OK;
}

wasmill_result wasmill_put(wasmill_context *ctx, uint32_t store, wasmill_bytes value) {
    uint32_t slot;
    WASMILL_TRY(own_slot(ctx, store, &slot));
    set(ctx, store, slot, not_null(value));
    return WASMILL_OK;
}

wasmill_result wasmill_remove(wasmill_context *ctx, uint32_t store) {
    uint32_t slot;
    WASMILL_TRY(own_slot(ctx, store, &slot));
    set(ctx, store, slot, wasmill_null());
    return WASMILL_OK;
}

wasmill_result wasmill_get_at(wasmill_context *ctx, uint32_t store, wasmill_bytes key, wasmill_bytes *value) {
    uint32_t slot;
    WASMILL_TRY(shared_slot(ctx, store, key, &slot));
    *value = get(ctx, store, slot, false);
    return WASMILL_OK;
}

wasmill_result wasmill_put_at(wasmill_context *ctx, uint32_t store, wasmill_bytes key, wasmill_bytes value) {
    uint32_t slot;
    WASMILL_TRY(shared_slot(ctx, store, key, &slot));
    set(ctx, store, slot, not_null(value));
    return WASMILL_OK;
}

wasmill_result wasmill_remove_at(wasmill_context *ctx, uint32_t store, wasmill_bytes key) {
    uint32_t slot;
    WASMILL_TRY(shared_slot(ctx, store, key, &slot));
    set(ctx, store, slot, wasmill_null());
    return WASMILL_OK;
}
