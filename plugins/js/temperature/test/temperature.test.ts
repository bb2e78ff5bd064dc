import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Harness, type Input } from 'wasmill-sdk/testing';

import temperature from '../src/index.ts';

const reading = (room: string, temp: number): Input => ({
  key: room,
  value: JSON.stringify({ room, temp, ts: 7, more: [] }),
});

test('change and average, kept from run to run', () => {
  const plugin = new Harness(temperature);
  const { outputs, failures } = plugin.run([
    reading('a', 20),
    reading('b', 1.5),
    { ...reading('a', 21), key: 'b' },
    reading('a', 22),
  ]);
  assert.deepEqual(
    outputs.map(({ text }) => text),
    [
      '{"room":"a","temp":20,"delta":null,"avg":20,"count":1,"ts":7}',
      '{"room":"b","temp":1.5,"delta":null,"avg":1.5,"count":1,"ts":7}',
      '{"room":"a","temp":22,"delta":2,"avg":21,"count":2,"ts":7}',
    ],
  );
  assert.deepEqual(failures.map(({ index, code }) => [index, code]), [[2, 'wrong-key']]);

  const next = plugin.run([{ key: 'a', value: '{}' }, { value: '{}' }, { key: 'a' }, reading('a', 0)]);
  assert.deepEqual(next.failures.map(({ code }) => code), ['bad-json', 'no-key', 'no-value']);
  assert.deepEqual(next.outputs.map(({ json }) => json), [{ room: 'a', temp: 0, delta: -22, avg: 14, count: 3, ts: 7 }]);
});

test('what is stored are three numbers', () => {
  const plugin = new Harness(temperature);
  plugin.run([reading('a', 1)]);
  const stored = plugin.state('room').get('a')!;
  assert.deepEqual([...new Float64Array(stored.buffer, stored.byteOffset, 3)], [1, 1, 1]);
  plugin.store('room', 'a', 'short');
  assert.deepEqual(plugin.run([reading('a', 1)]).failures.map(({ code }) => code), ['bad-state']);
});

test('a sum beyond f64 leaves nothing behind', () => {
  const plugin = new Harness(temperature);
  const { failures } = plugin.run([reading('a', 1.7e308), reading('a', 1.7e308)]);
  assert.deepEqual(failures.map(({ index, code }) => [index, code]), [[1, 'out-of-range']]);
  assert.equal((plugin.run([reading('a', 0)]).outputs[0]!.json as { count: number }).count, 2);
});
