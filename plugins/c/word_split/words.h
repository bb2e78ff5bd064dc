/* What a word is. */
#ifndef WORDS_H
#define WORDS_H

#include "wasmill.h"

/* Takes the next word from the front of `text`, valid UTF-8; null when there is none. */
wasmill_bytes next_word(wasmill_bytes *text);
/* A word in lower case, by Unicode's default. */
wasmill_bytes lower_case(wasmill_context *ctx, wasmill_bytes word);

#endif
