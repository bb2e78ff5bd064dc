// Splits text into lower-case words; each leaves with itself as key and value.

import { definePlugin, object, optional, pointerTo, RecordError, string, type Json } from 'wasmill-sdk';

import { words } from './words.ts';

export default definePlugin({
  name: 'word_split',
  version: '0.1.0',
  doc: 'Splits text into lower-case words',
  ports: { out: { doc: 'One record per word, the word as key and value', rekeys: true } },
  config: object({
    field: optional(
      string({
        min: 1,
        doc: 'Where the text is in a JSON value: a JSON Pointer, or the name of a field. Left out: the value is the text.',
      }),
    ),
  }),

  setup({ field }) {
    return { pointer: field === undefined || field.startsWith('/') ? field : pointerTo(field) };
  },

  process(record, ctx, { pointer }) {
    // A tombstone holds no words.
    if (record.isTombstone) return;
    const text = pointer === undefined ? record.text() : textAt(record.json(), pointer);
    for (const word of words(text)) ctx.emit(word, { key: word });
  },
});

function textAt(json: Json, pointer: string): string {
  let value: Json | undefined = json;
  for (const part of pointer.slice(1).split('/')) {
    value = child(value, part.replaceAll('~1', '/').replaceAll('~0', '~'));
    if (value === undefined) throw new RecordError('no-field', `the value has nothing at \`${pointer}\``);
  }
  if (typeof value !== 'string') throw new RecordError('not-text', `what is at \`${pointer}\` is no text`);
  return value;
}

function child(value: Json, name: string): Json | undefined {
  if (Array.isArray(value)) return /^(?:0|[1-9][0-9]*)$/.test(name) ? value[Number(name)] : undefined;
  return value !== null && typeof value === 'object' && Object.hasOwn(value, name) ? value[name] : undefined;
}
