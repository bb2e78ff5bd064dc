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
