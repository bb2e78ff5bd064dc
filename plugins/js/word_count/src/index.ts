// Counts words: the key is the word; each record raises its count by one and emits the new one.

import { definePlugin, keyed, u64 } from 'wasmill-sdk';

export default definePlugin({
  name: 'word_count',
  version: '0.1.0',
  doc: 'Counts words by their key',
  ports: { out: { doc: '{"word","count"} for each record, keyed by the word' } },
  stores: { count: keyed(u64, 'How often each word was seen') },

  process(record, ctx) {
    const word = record.keyText();
    const count = (ctx.stores.count.get() ?? 0n) + 1n;
    ctx.stores.count.put(count);
    ctx.emit({ word, count });
  },
});
