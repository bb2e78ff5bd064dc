import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConfigError } from 'wasmill-sdk';
import { Harness, type Input } from 'wasmill-sdk/testing';

import sessions from '../src/index.ts';

const at = (key: string, timestamp: number): Input => ({ key, timestamp });

test('a session ends when its key was silent for the gap', () => {
  const plugin = new Harness(sessions, { config: { gap_ms: 10 } });
  assert.deepEqual(plugin.run([at('a', 0), at('a', 9), at('b', 12)]).outputs, []);
  assert.deepEqual(plugin.timers.map(({ key, time }) => [key, time]), [['a', 19], ['b', 22]]);
  const { outputs } = plugin.run([at('a', 19)]);
  assert.deepEqual(outputs.map(({ json, timestamp, timer }) => [json, timestamp, timer]), [
    [{ key: 'a', start: 0, end: 9, count: 2 }, 9, 'close'],
  ]);
  assert.deepEqual(plugin.advance(29).outputs.map(({ keyText }) => keyText), ['b', 'a']);
  assert.equal(plugin.state('open').size, 0);
  assert.deepEqual(plugin.timers, []);
});

test('a late record joins two sessions that are still open', () => {
  const plugin = new Harness(sessions, { config: { gap_ms: 10 }, lateness: 50 });
  plugin.run([at('a', 0), at('a', 18)]);
  assert.equal(Buffer.from(plugin.state('open').get('a')!).toString(), '[[0,0,1],[18,18,1]]');
  plugin.run([at('a', 9)]);
  assert.equal(Buffer.from(plugin.state('open').get('a')!).toString(), '[[0,18,3]]');
  assert.deepEqual(plugin.timers.map(({ time }) => time), [28]);
});

test('what cannot be counted fails', () => {
  const plugin = new Harness(sessions, { config: { gap_ms: 10 } });
  const { failures } = plugin.run([{ timestamp: 1 }, { key: 'a', timestamp: null }, { key: Uint8Array.of(0xff) }]);
  assert.deepEqual(failures.map(({ code }) => code), ['no-key', 'no-timestamp', 'bad-utf8']);
  assert.deepEqual(plugin.timers, []);
});

test('the gap is a whole number, at least 1', () => {
  for (const config of [{}, { gap_ms: 0 }, { gap_ms: 1.5 }, { gap_ms: '1' }]) {
    assert.throws(
      () => new Harness(sessions, { config }),
      (error) => error instanceof ConfigError && error.problems[0]?.pointer === '/gap_ms',
    );
  }
});
