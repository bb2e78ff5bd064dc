/* UTF-8, and text written as printf does. */
#include <stdio.h>

#include "internal.h"

/* The length of the character at `s`, 0 when it is no valid one. RFC 3629, table of section 4. */
static size_t character(const unsigned char *s, size_t left) {
    unsigned char first = s[0];
    if (first < 0x80) {
        return 1;
    }
    size_t len = first >= 0xC2 && first <= 0xDF ? 2 : (first & 0xF0) == 0xE0 ? 3 : first >= 0xF0 && first <= 0xF4 ? 4 : 0;
    if (len == 0 || left < len) {
        return 0;
    }
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    switch (first) {
    case 0xE0: low = 0xA0; break;
    case 0xED: high = 0x9F; break;
    case 0xF0: low = 0x90; break;
    case 0xF4: high = 0x8F; break;
    default: break;
    }
    if (s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return len;
}

size_t wm_valid_utf8(const char *data, size_t len) {
    const unsigned char *s = (const unsigned char *)data;
    size_t i = 0;
    while (i < len) {
        uint64_t eight;
        if (len - i >= sizeof eight) {
            memcpy(&eight, s + i, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        size_t step = character(s + i, len - i);
        if (step == 0) {
            break;
        }
        i += step;
    }
    return i;
}

bool wasmill_is_utf8(wasmill_bytes bytes) {
    return wm_valid_utf8(bytes.data, bytes.len) == bytes.len;
}

wasmill_bytes wm_lossy(wm_arena *arena, wasmill_bytes text) {
    size_t valid = wm_valid_utf8(text.data, text.len);
    if (valid == text.len) {
        return text;
    }
    if (text.len > SIZE_MAX / 3) {
        wm_die("out of memory");
    }
    /* Each wrong byte becomes the three of U+FFFD. */
    char *out = wm_arena_alloc(arena, text.len * 3);
    size_t len = 0;
    size_t at = 0;
    for (;;) {
        memcpy(out + len, text.data + at, valid);
        len += valid;
        at += valid;
        if (at == text.len) {
            return wasmill_bytes_of(out, len);
        }
        memcpy(out + len, "\xEF\xBF\xBD", 3);
        len += 3;
        at += 1;
        valid = wm_valid_utf8(text.data + at, text.len - at);
    }
}

wasmill_bytes wm_vformat(wm_arena *arena, const char *format, va_list arguments) {
    char small[256];
    va_list again;
    va_copy(again, arguments);
    int len = vsnprintf(small, sizeof small, format, arguments);
    wasmill_bytes text;
    if (len < 0) {
        text = wasmill_text(format);
    } else if ((size_t)len < sizeof small) {
        text = wm_arena_copy(arena, wasmill_bytes_of(small, (size_t)len));
    } else {
        char *large = wm_arena_alloc(arena, (size_t)len + 1);
        vsnprintf(large, (size_t)len + 1, format, again);
        text = wasmill_bytes_of(large, (size_t)len);
    }
    va_end(again);
    return text;
}

wasmill_bytes wasmill_format(wasmill_context *ctx, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    wasmill_bytes text = wm_vformat(ctx->scratch, format, arguments);
    va_end(arguments);
    return text;
}
