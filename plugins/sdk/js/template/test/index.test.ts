import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Harness } from 'wasmill-sdk/testing';

import plugin from '../src/index.ts';

test('counts by key', () => {
  const harness = new Harness(plugin, { config: { every: 2 } });
  const { outputs, failures } = harness.run([{ key: 'a' }, { key: 'b' }, { value: 'no key' }, { key: 'a' }]);
  assert.deepEqual(outputs.map(({ json }) => json), [{ key: 'a', count: 2 }]);
  assert.deepEqual(failures.map(({ index, code }) => [index, code]), [[2, 'no-key']]);
});

test('an option that is none is refused', () => {
  assert.throws(() => new Harness(plugin, { config: { evry: 2 } }), /\/evry/);
});
