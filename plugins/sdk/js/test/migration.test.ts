import assert from 'node:assert/strict';
import { test } from 'node:test';

import { definePlugin, json, keyed, RecordError, textOf, u64, type Migration, type Plugin } from '../src/index.ts';
import { describe, Runtime } from '../src/runtime.ts';
import { FakeHost } from '../src/testing-host.ts';
import { Harness } from '../src/testing.ts';

const stores = { other: keyed(u64), seen: keyed(json<{ count: number }>()) };

function migrating(migrate: (fromVersion: number, state: Migration<typeof stores>) => void): Plugin {
  return definePlugin({ name: 'test', version: '1', stateVersion: 1, stores, process() {}, migrate });
}

function number(value: number): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
}

/** What a store holds, as text. */
function held(plugin: Harness, store: string): Record<string, string | undefined> {
  return Object.fromEntries([...plugin.state(store)].map(([key, value]) => [key, textOf(value)]));
}

test('every entry is rewritten', () => {
  const keys: string[] = [];
  const made = migrating((fromVersion, { stores: { seen } }) => {
    assert.equal(fromVersion, 0);
    seen.rewrite(u64, (key, count) => {
      keys.push(textOf(key)!);
      return count > 0n ? { count: Number(count) } : undefined;
    });
  });
  assert.equal(describe(made).stateVersion, 1);
  const plugin = new Harness(made);
  // More than one page.
  for (let i = 0; i < 2500; i++) plugin.store('seen', `k${i}`, number(i));
  plugin.migrate(0);
  assert.deepEqual(keys, Array.from({ length: 2500 }, (_, i) => `k${i}`).sort());
  const seen = held(plugin, 'seen');
  assert.equal(Object.keys(seen).length, 2499);
  assert.deepEqual([seen['k7'], seen['k2499']], ['{"count":7}', '{"count":2499}']);
});

test('an empty store has nothing to rewrite', () => {
  const plugin = new Harness(migrating((_, { stores: { seen } }) => seen.rewrite(u64, () => assert.fail())));
  plugin.migrate(0);
  assert.deepEqual(held(plugin, 'seen'), {});
});

test('entries change one by one', () => {
  const plugin = new Harness(
    migrating((_, { stores: { other, seen } }) => {
      const earlier = seen.as(u64);
      const count = (earlier.get('a') ?? 0n) + (earlier.get('x') ?? 1n);
      seen.put('all', { count: Number(count) });
      seen.remove('a');
      assert.deepEqual(seen.get('all'), { count: 3 });
      other.put(Uint8Array.of(107), count);
      assert.throws(() => seen.put('b', null as never), /use remove/);
      assert.throws(() => seen.put(1 as never, { count: 1 }), /a key is text or bytes/);
    }),
  );
  plugin.store('seen', 'a', number(2));
  plugin.migrate(0);
  assert.deepEqual(held(plugin, 'seen'), { all: '{"count":3}' });
  assert.deepEqual(plugin.state('other').get('k'), number(3));
});

test('one that fails changes nothing', () => {
  const plugin = new Harness(
    migrating((_, { stores: { other, seen } }) => {
      seen.remove('a');
      other.put('b', 1n);
      seen.as(u64).get('bad');
    }),
  );
  plugin.store('seen', 'a', number(2));
  plugin.store('seen', 'bad', '{}');
  assert.throws(() => plugin.migrate(0), { code: 'bad-state' });
  assert.deepEqual([...plugin.state('seen').keys()], ['a', 'bad']);
  assert.equal(plugin.state('other').size, 0);
});

test('what the component says', () => {
  const run = (migrate: (fromVersion: number) => void): unknown => {
    const runtime = new Runtime(migrating(migrate), new FakeHost(0));
    assert.deepEqual(runtime.configure('{}'), []);
    try {
      return runtime.migrate(7);
    } catch (thrown) {
      return thrown;
    }
  };
  assert.equal(run(() => {}), undefined);
  assert.equal(run((from) => { throw new RecordError('no-version', `there was no version ${from}`); }), 'no-version: there was no version 7');
  assert.match(String(run((async () => {}) as never)), /migrate must not be async/);
  const silent = definePlugin({ name: 'test', version: '1', process() {} });
  assert.throws(() => new Harness(silent).migrate(0), /has no `migrate`/);
});
