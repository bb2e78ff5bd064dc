/* Words: maximal runs of Unicode letters, marks and numbers, apostrophes between letters included.
 * A mark belongs to the letter before it. */
#include "words.h"

#include "utf8proc.h"

enum class { LETTER, MARK, NUMBER, APOSTROPHE, OTHER };

/* The character at the front, and how many bytes it has. */
static utf8proc_int32_t character(wasmill_bytes text, size_t *len) {
    utf8proc_int32_t c;
    utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.len, &c);
    *len = size < 1 ? 1 : (size_t)size;
    return c;
}

static enum class class_of(utf8proc_int32_t c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
        return LETTER;
    }
    if (c >= '0' && c <= '9') {
        return NUMBER;
    }
    if (c == '\'' || c == 0x2019) {
        return APOSTROPHE;
    }
    if (c < 0x80) {
        return OTHER;
    }
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return LETTER;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return MARK;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return NUMBER;
    default: return OTHER;
    }
}

static wasmill_bytes from(wasmill_bytes text, size_t at) {
    return wasmill_bytes_of(text.data + at, text.len - at);
}

wasmill_bytes next_word(wasmill_bytes *text) {
    size_t at = 0;
    size_t len;
    while (at < text->len && class_of(character(from(*text, at), &len)) >= APOSTROPHE) {
        at += len;
    }
    if (at == text->len) {
        return wasmill_null();
    }
    size_t start = at;
    bool after_letter = false;
    while (at < text->len) {
        enum class class = class_of(character(from(*text, at), &len));
        if (class == OTHER) {
            break;
        }
        if (class == APOSTROPHE) {
            size_t size;
            bool before_letter =
                at + len < text->len && class_of(character(from(*text, at + len), &size)) == LETTER;
            if (!after_letter || !before_letter) {
                break;
            }
        }
        if (class == LETTER || class == NUMBER) {
            after_letter = class == LETTER;
        }
        at += len;
    }
    wasmill_bytes word = wasmill_bytes_of(text->data + start, at - start);
    *text = from(*text, at);
    return word;
}

/* What the rule of the final sigma asks of the characters around it (The Unicode Standard, 3.13,
 * table 3-17). Only characters that can be in a word are told apart. */
enum sigma { IGNORABLE, CASED, NEITHER };

static enum sigma sigma_class(utf8proc_int32_t c) {
    if (c == '\'' || c == 0x2019) {
        return IGNORABLE;
    }
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_LM: return IGNORABLE;
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT: return CASED;
    default:
        /* Other_Lowercase and Other_Uppercase: the ordinal indicators, the Roman numerals. */
        return c == 0xAA || c == 0xBA || (c >= 0x2160 && c <= 0x217F) ? CASED : NEITHER;
    }
}

/* Whether the sigma at `at` comes after a cased letter and before none. */
static bool is_final(wasmill_bytes word, size_t at, size_t len) {
    enum sigma before = IGNORABLE;
    for (size_t i = at; before == IGNORABLE && i > 0;) {
        do {
            i--;
        } while (i > 0 && ((unsigned char)word.data[i] & 0xC0) == 0x80);
        size_t size;
        before = sigma_class(character(from(word, i), &size));
    }
    enum sigma after = IGNORABLE;
    for (size_t i = at + len; after == IGNORABLE && i < word.len;) {
        size_t size;
        after = sigma_class(character(from(word, i), &size));
        i += size;
    }
    return before == CASED && after != CASED;
}

wasmill_bytes lower_case(wasmill_context *ctx, wasmill_bytes word) {
    /* A character has at most four bytes, and an upper-case one of a single byte stays one. */
    char *out = wasmill_alloc(ctx, word.len <= SIZE_MAX / 4 ? word.len * 4 : SIZE_MAX);
    size_t written = 0;
    for (size_t at = 0, len; at < word.len; at += len) {
        utf8proc_int32_t c = character(from(word, at), &len);
        if (c < 0x80) {
            out[written++] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
            continue;
        }
        if (c == 0x3A3) {
            c = is_final(word, at, len) ? 0x3C2 : 0x3C3;
        } else if (c == 0x130) {
            /* The one character whose lower case is two: i and a dot above. */
            out[written++] = 'i';
            c = 0x307;
        } else {
            c = utf8proc_tolower(c);
        }
        written += (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)out + written);
    }
    return wasmill_bytes_of(out, written);
}
