// Counts words: the key is the word; each record raises its count by one and emits the new one. Asked for
// `count/WORD` it answers that word's count, for `top?n=10` the most frequent words.

import { Answer, definePlugin, keyed, textOf, u64, type ReadableStore } from 'wasmill-sdk';

const TOP_MAX = 1000;

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

  answer(query, reader) {
    const { count } = reader.stores;
    const [what, word, ...rest] = query.path;
    if (what === 'count' && word !== undefined && rest.length === 0) {
      return Answer.json({ word, count: count.get(word) ?? 0n });
    }
    if (what === 'top' && word === undefined) {
      const number = query.parameter('n') ?? '10';
      const n = /^[0-9]{1,4}$/.test(number) ? +number : 0;
      if (n < 1 || n > TOP_MAX) return Answer.badRequest(`\`n\` is a number from 1 to ${TOP_MAX}`);
      return Answer.json(top(count, n));
    }
    return Answer.notFound('ask for count/WORD or top?n=10');
  },
});

interface Counted {
  readonly word: string;
  readonly count: bigint;
}

/** The most frequent words. Those with the same count come in their order, which is that of the scan. */
function top(store: ReadableStore<bigint>, n: number): Counted[] {
  let best: Counted[] = [];
  for (let after: Uint8Array | undefined, more = true; more; ) {
    const page = store.scan(after === undefined ? {} : { after });
    // Only words that were text have been counted.
    const words = page.entries.map(([key, count]) => ({ word: textOf(key) ?? '', count }));
    best = [...best, ...words].sort((a, b) => Number(b.count - a.count)).slice(0, n);
    after = page.entries.at(-1)?.[0];
    more = page.more;
  }
  return best;
}
