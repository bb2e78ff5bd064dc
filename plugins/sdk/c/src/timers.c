/* Changes of timers, kept until the end of the call and taken back record by record. */
#include <stdlib.h>

#include "internal.h"

static wasmill_result check(wasmill_context *ctx, const char *name, uint32_t *slot) {
    size_t len = name == NULL ? 0 : strlen(name);
    if (len == 0 || len > 255) {
        return wasmill_fail(ctx, "no-timer-name", "a timer's name has 1 to 255 bytes, this one has %zu", len);
    }
    if (!wasmill_is_utf8(wasmill_text(name))) {
        return wasmill_fail(ctx, "bad-utf8", "a timer's name is no valid UTF-8");
    }
    if (ctx->plugin->on_timer == NULL) {
        return wasmill_fail(ctx, "error", "the plugin sets the timer `%s`, but has no `on_timer`", name);
    }
    *slot = wm_record_slot(ctx);
    return *slot == WM_NO_SLOT ? wasmill_fail(ctx, "no-key", "the record has no key") : WASMILL_OK;
}

static void change(wasmill_context *ctx, wasmill_clock clock, uint32_t slot, const char *name, int64_t time) {
    wm_slot *own = &ctx->cache.slots.list[slot];
    wm_timer_change change = {
        wm_arena_copy(&ctx->call, wasmill_text(name)), time, slot, own->timer, (uint8_t)clock};
    WM_PUSH(ctx->timers, change);
    own->timer = (uint32_t)ctx->timers.count;
}

wasmill_result wasmill_set_timer(wasmill_context *ctx, wasmill_clock clock, const char *name, int64_t time) {
    uint32_t slot;
    WASMILL_TRY(check(ctx, name, &slot));
    if (time < 0) {
        return wasmill_fail(ctx, "error", "the time of the timer `%s` is negative", name);
    }
    if (ctx->due != NULL && ctx->due->clock == WASMILL_PLUGIN_TYPES_CLOCK_EVENT_TIME && clock == WASMILL_EVENT_TIME &&
        time <= wm_parent_time(ctx, ctx->index)) {
        return wasmill_fail(
            ctx, "error", "the timer `%s` is set for %lld, which is not after the timer that fires, %lld", name,
            (long long)time, (long long)wm_parent_time(ctx, ctx->index));
    }
    change(ctx, clock, slot, name, time);
    return WASMILL_OK;
}

wasmill_result wasmill_cancel_timer(wasmill_context *ctx, wasmill_clock clock, const char *name) {
    uint32_t slot;
    WASMILL_TRY(check(ctx, name, &slot));
    change(ctx, clock, slot, name, -1);
    return WASMILL_OK;
}

wasmill_result wasmill_get_timer(wasmill_context *ctx, wasmill_clock clock, const char *name, int64_t *time) {
    uint32_t slot;
    WASMILL_TRY(check(ctx, name, &slot));
    wasmill_bytes wanted = wasmill_text(name);
    for (uint32_t at = ctx->cache.slots.list[slot].timer; at != 0; at = ctx->timers.list[at - 1].before) {
        const wm_timer_change *own = &ctx->timers.list[at - 1];
        if (own->clock == (uint8_t)clock && wasmill_equal(own->name, wanted)) {
            *time = own->time;
            return WASMILL_OK;
        }
    }
    everything_list_u8_t key = wm_list(ctx->cache.slots.list[slot].key);
    everything_string_t text = wm_string(wanted);
    if (!wasmill_plugin_timers_get((wasmill_plugin_timers_clock_t)clock, &key, &text, time)) {
        *time = -1;
    }
    return WASMILL_OK;
}

void wm_timers_truncate(wasmill_context *ctx, size_t count) {
    while (ctx->timers.count > count) {
        const wm_timer_change *last = &ctx->timers.list[--ctx->timers.count];
        ctx->cache.slots.list[last->slot].timer = last->before;
    }
}

void wm_timers_flush(wasmill_context *ctx) {
    for (uint8_t clock = 0; clock <= WASMILL_WALL_CLOCK; clock++) {
        wm_column keys = {0};
        wm_column names = {0};
        WM_LIST(int64_t) times = {NULL, 0, 0};
        for (size_t i = 0; i < ctx->timers.count; i++) {
            const wm_timer_change *own = &ctx->timers.list[i];
            if (own->clock == clock) {
                wm_column_push(&keys, WM_BYTES, ctx->cache.slots.list[own->slot].key);
                wm_column_push(&names, WM_BYTES, own->name);
                WM_PUSH(times, own->time);
            }
        }
        if (times.count > 0) {
            wasmill_plugin_types_column_t of_keys = wm_column_view(&keys);
            wasmill_plugin_types_column_t of_names = wm_column_view(&names);
            everything_list_s64_t of_times = {times.list, times.count};
            wasmill_plugin_timers_set_many(clock, &of_keys, &of_names, &of_times);
        }
        wm_column_free(&keys);
        wm_column_free(&names);
        free(times.list);
    }
    ctx->timers.count = 0;
}
