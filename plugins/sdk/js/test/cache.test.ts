import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Keys, StoreCache } from '../src/cache.ts';
import { columnOf, Entries } from '../src/column.ts';
import type { Column, Host } from '../src/contract.ts';
import { utf8 } from '../src/formats.ts';

test('a store is read once and written once per call, with the keys of the batch only', () => {
  const calls: unknown[] = [];
  const texts = (column: Column): (string | null)[] => {
    const entries = new Entries(column);
    return Array.from(column.ends, (_, i) => (entries.isNull(i) ? null : entries.text(i, '')));
  };
  const host: Pick<Host['state'], 'get' | 'getMany' | 'putMany'> = {
    get: () => assert.fail('a read of one key'),
    getMany: (store, keys) => (calls.push(['get', store, texts(keys)]), columnOf(['1', null])),
    putMany: (store, keys, values) => void calls.push(['put', store, texts(keys), texts(values)]),
  };
  const keys = new Keys(new Entries(columnOf(['a', 'b', null, 'a'])), 4);
  const cache = new StoreCache(host, 3, utf8, keys);
  keys.slot('shared');
  assert.deepEqual([0, 1, 2, 3].map((i) => keys.ofRecord(i)), [0, 1, undefined, 0]);
  cache.set(1, 'early');
  assert.equal(cache.get(0, true), '1');
  assert.equal(cache.get(1, true), 'early');
  cache.set(0, '2');
  cache.set(0, null);
  assert.equal(cache.get(0, true), null);
  keys.undo.length = 0;
  cache.set(1, 'undone');
  keys.undo.pop()!();
  cache.flush();
  cache.flush();
  assert.deepEqual(calls, [
    ['get', 3, ['a', 'b']],
    ['put', 3, ['b', 'a'], ['early', null]],
  ]);
});
