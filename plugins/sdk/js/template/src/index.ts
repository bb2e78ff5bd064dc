// Counts the records of each key.

import { definePlugin, integer, keyed, object, optional, u64 } from 'wasmill-sdk';

export default definePlugin({
  name: '{{name}}',
  version: '0.1.0',
  doc: 'Counts the records of each key',
  ports: { out: { doc: '{"key","count"} for each record that is counted' } },
  stores: { count: keyed(u64, 'How many records each key had') },
  config: object({
    every: optional(integer({ min: 1, doc: 'Emits every so many records.' }), 1),
  }),

  process(record, ctx, { every }) {
    const key = record.keyText();
    const count = (ctx.stores.count.get() ?? 0n) + 1n;
    ctx.stores.count.put(count);
    if (count % BigInt(every) === 0n) ctx.emit({ key, count });
  },
});
