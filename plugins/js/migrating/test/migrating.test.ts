import assert from 'node:assert/strict';
import { test } from 'node:test';

import { textOf } from 'wasmill-sdk';
import { Harness } from 'wasmill-sdk/testing';

import migrating from '../src/index.ts';

/** Eight bytes, as version 0 stored them. */
function number(value: number): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
}

test('numbers become objects', () => {
  const plugin = new Harness(migrating);
  for (let i = 0; i < 2500; i++) plugin.store('seen', `k${i}`, number(i));
  plugin.migrate(0);
  // Version 0 had an entry for 0, too.
  assert.equal(plugin.state('seen').size, 2499);
  assert.equal(textOf(plugin.state('seen').get('k7')!), '{"count":7}');
  plugin.run([{ key: 'k7' }]);
  assert.deepEqual(plugin.ask('seen/k7').json, { count: 8 });
  assert.equal(plugin.ask('seen/k0').status, 404);
});

test('what fails changes nothing', () => {
  const plugin = new Harness(migrating, { config: { refuse: true } });
  plugin.store('seen', 'room-1', number(1));
  plugin.store('seen', 'room-2', number(2));
  assert.throws(() => plugin.migrate(0), { code: 'no-mood' });
  assert.throws(() => plugin.migrate(1), { code: 'no-version' });
  assert.deepEqual([...plugin.state('seen')], [['room-1', number(1)], ['room-2', number(2)]]);
});

test('answers', () => {
  const plugin = new Harness(migrating);
  plugin.run([{ key: 'a' }]);
  for (let i = 1; i < 5; i++) plugin.storeOf('oracle', 'seen', `room-${i}`, number(i));
  assert.deepEqual(plugin.ask('many/a/b').json, [{ count: 1 }, null]);
  assert.equal(plugin.ask('seen-of/oracle/room-2').json, 2);
  assert.deepEqual(plugin.ask('all-of/oracle').json, { 'room-2': 2, 'room-3': 3 });
  assert.deepEqual(plugin.ask('many-of/oracle/x/room-4').json, [null, 4]);
  assert.deepEqual([plugin.ask('now').status, plugin.ask('now').text], [299, '0']);
  assert.throws(() => plugin.ask('refuse'), { code: 'no-mood' });
});
