// What a word is: a maximal run of Unicode letters, marks and numbers. An apostrophe between letters
// belongs to it; a mark belongs to the letter before it.

const ASCII_WORD = /[A-Za-z0-9]+(?:(?<=[A-Za-z])'[A-Za-z][A-Za-z0-9]*)*/g;
const WORD = /[\p{L}\p{M}\p{N}]+(?:(?<=\p{L}\p{M}*)['’]\p{L}[\p{L}\p{M}\p{N}]*)*/gu;
const ASCII = /^[\x00-\x7f]*$/;

/** The words of a text, in lower case. */
export function words(text: string): readonly string[] {
  // Lower-casing a word, not the text: a sigma's form depends on where the word ends.
  if (ASCII.test(text)) return text.toLowerCase().match(ASCII_WORD) ?? [];
  return (text.match(WORD) ?? []).map((word) => word.toLowerCase());
}
