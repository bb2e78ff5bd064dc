// Adds fields to a JSON object: fixed ones from the configuration, and the values of headers.
//
// What is there already stays as it was written, in its order; a field of the same name is replaced
// where it stands.

import { anyJson, ConfigError, definePlugin, INHERIT, object, optional, pointerTo, RecordError, string, table, textOf, toJson, type Header, type Json } from 'wasmill-sdk';

import { withFields } from './fields.ts';

export default definePlugin({
  name: 'enrich',
  version: '0.1.0',
  doc: 'Adds fields from headers and from the configuration to a JSON value',
  ports: { out: { doc: 'The record with the fields added' } },
  readsHeaders: true,
  config: object({
    fields: optional(table(anyJson(), { doc: 'Fields to add, and their values.' }), new Map<string, Json>()),
    headers: optional(
      table(string(), {
        doc: 'Fields to add, and the headers whose values they get. Header names are compared without regard to ASCII case; a field whose header is missing is not added.',
      }),
      new Map<string, string>(),
    ),
  }),

  setup({ fields, headers }) {
    const twice = [...headers.keys()].filter((name) => fields.has(name));
    if (twice.length > 0) {
      throw new ConfigError(
        twice.map((name) => ({ pointer: `/headers${pointerTo(name)}`, message: `\`fields\` sets \`${name}\` too` })),
      );
    }
    return {
      fixed: [...fields].map(([name, value]) => [name, toJson(value)] as const),
      headers: [...headers].map(([name, header]) => [name, asciiLower(header)] as const),
    };
  },

  process(record, ctx, { fixed, headers }) {
    // A tombstone stays one.
    if (record.isTombstone) return ctx.emit(INHERIT);
    const added = new Map(fixed);
    if (headers.length > 0) {
      const given = record.headers;
      for (const [name, header] of headers) {
        const found = given.findLast(([own]) => asciiLower(own) === header);
        if (found !== undefined) added.set(name, jsonText(found));
      }
    }
    ctx.emit(withFields(record.jsonText(), added));
  },
});

function jsonText([name, value]: Header): string {
  if (value === null) return 'null';
  const text = textOf(value);
  if (text === undefined) throw new RecordError('bad-utf8', `the header \`${name}\` is no valid UTF-8`);
  return toJson(text);
}

/** `toLowerCase` would turn the Kelvin sign into a k. */
function asciiLower(name: string): string {
  return name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
