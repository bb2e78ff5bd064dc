import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Harness } from 'wasmill-sdk/testing';

import wordCount from '../src/index.ts';

test('counts by key', () => {
  const plugin = new Harness(wordCount);
  const first = plugin.run([{ key: 'a' }, { key: 'b' }, { key: 'a' }]);
  assert.deepEqual(first.outputs.map(({ text }) => text), [
    '{"word":"a","count":1}',
    '{"word":"b","count":1}',
    '{"word":"a","count":2}',
  ]);
  const second = plugin.run([{ value: 'a' }, { key: 'a' }, { key: Uint8Array.of(0xff) }]);
  assert.deepEqual(second.outputs.map(({ text }) => text), ['{"word":"a","count":3}']);
  assert.deepEqual(second.failures.map(({ code }) => code), ['no-key', 'bad-utf8']);
  assert.deepEqual([...plugin.state('count').get('a')!], [3, 0, 0, 0, 0, 0, 0, 0]);
});

/** Eight bytes, as `u64` stores them. */
function stored(count: number): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(count)).buffer);
}

test('answers', () => {
  const plugin = new Harness(wordCount);
  plugin.run('the cat and the other cat and the dog'.split(' ').map((key) => ({ key })));
  assert.deepEqual(plugin.ask('count/the').json, { word: 'the', count: 3 });
  assert.deepEqual(plugin.ask('count/none').json, { word: 'none', count: 0 });
  assert.equal(plugin.ask('top?n=3').text, '[{"word":"the","count":3},{"word":"and","count":2},{"word":"cat","count":2}]');
  assert.deepEqual((plugin.ask('top').json as { word: string }[]).slice(3).map(({ word }) => word), ['dog', 'other']);
  for (const n of ['0', '1001', 'ten', '-1', '1'.repeat(400), '']) assert.equal(plugin.ask(`top?n=${n}`).status, 400, n);
  for (const path of ['', 'bottom', 'count', 'count/a/b', 'top/5']) assert.equal(plugin.ask(path).status, 404, path);
});

test('the top of more words than one page has', () => {
  const plugin = new Harness(wordCount);
  for (let i = 0; i < 2500; i++) plugin.store('count', `w${i}`, stored(i));
  assert.deepEqual(plugin.ask('top?n=1').json, [{ word: 'w2499', count: 2499 }]);
});
