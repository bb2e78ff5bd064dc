/* Memory of a call, given back all at once. */
#include <stdlib.h>

#include "internal.h"

enum { ALIGNMENT = 16, FIRST_CHUNK = 8 * 1024, LARGEST_KEPT = 256 * 1024 };

typedef struct wm_chunk {
    struct wm_chunk *before;
    size_t cap;
    size_t used;
} wm_chunk;

/* The chunk's own fields, rounded up so that what follows is aligned. */
#define HEAD ((sizeof(wm_chunk) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

_Noreturn void wm_die(const char *message) {
    everything_string_t text = wm_string(wasmill_text(message));
    wasmill_plugin_log_write(WASMILL_PLUGIN_LOG_LEVEL_ERROR, NULL, &text);
    abort();
}

static wm_chunk *new_chunk(size_t cap) {
    size_t size;
    wm_chunk *chunk = __builtin_add_overflow(cap, HEAD, &size) ? NULL : malloc(size);
    if (chunk == NULL) {
        wm_die("out of memory");
    }
    chunk->before = NULL;
    chunk->cap = cap;
    chunk->used = 0;
    return chunk;
}

void *wm_arena_alloc(wm_arena *arena, size_t size) {
    if (size > SIZE_MAX - ALIGNMENT) {
        wm_die("out of memory");
    }
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    wm_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->cap - chunk->used < size) {
        size_t cap = chunk == NULL ? FIRST_CHUNK : chunk->cap < LARGEST_KEPT ? chunk->cap * 2 : LARGEST_KEPT;
        wm_chunk *fresh = new_chunk(cap > size ? cap : size);
        fresh->before = chunk;
        arena->chunks = chunk = fresh;
    }
    void *ptr = (char *)chunk + HEAD + chunk->used;
    chunk->used += size;
    return ptr;
}

wasmill_bytes wm_arena_copy(wm_arena *arena, wasmill_bytes bytes) {
    if (bytes.len == SIZE_MAX) {
        wm_die("out of memory");
    }
    char *copy = wm_arena_alloc(arena, bytes.len + 1);
    if (bytes.len > 0) {
        memcpy(copy, bytes.data, bytes.len);
    }
    copy[bytes.len] = 0;
    return wasmill_bytes_of(copy, bytes.len);
}

void wm_arena_reset(wm_arena *arena) {
    wm_chunk *kept = arena->chunks;
    if (kept != NULL && kept->before == NULL && kept->cap <= LARGEST_KEPT) {
        kept->used = 0;
        return;
    }
    kept = NULL;
    while (arena->chunks != NULL) {
        wm_chunk *chunk = arena->chunks;
        arena->chunks = chunk->before;
        if (kept == NULL && chunk->cap <= LARGEST_KEPT) {
            kept = chunk;
        } else {
            free(chunk);
        }
    }
    if (kept != NULL) {
        kept->before = NULL;
        kept->used = 0;
    }
    arena->chunks = kept;
}

void wm_arena_free(wm_arena *arena) {
    while (arena->chunks != NULL) {
        wm_chunk *chunk = arena->chunks;
        arena->chunks = chunk->before;
        free(chunk);
    }
}

static void *alc_malloc(void *arena, size_t size) {
    return wm_arena_alloc(arena, size);
}

static void *alc_realloc(void *arena, void *ptr, size_t old, size_t size) {
    if (size <= old) {
        return ptr;
    }
    void *fresh = wm_arena_alloc(arena, size);
    memcpy(fresh, ptr, old);
    return fresh;
}

static void alc_free(void *arena, void *ptr) {
    (void)arena;
    (void)ptr;
}

yyjson_alc wm_arena_alc(wm_arena *arena) {
    yyjson_alc alc = {alc_malloc, alc_realloc, alc_free, arena};
    return alc;
}

void *wm_grow(void *ptr, size_t *cap, size_t need, size_t size) {
    size_t fresh = *cap > SIZE_MAX / 2 ? need : *cap * 2;
    if (fresh < need) {
        fresh = need;
    }
    if (fresh < 16) {
        fresh = 16;
    }
    size_t total;
    void *grown = __builtin_mul_overflow(fresh, size, &total) ? NULL : realloc(ptr, total);
    if (grown == NULL) {
        wm_die("out of memory");
    }
    *cap = fresh;
    return grown;
}
