import assert from 'node:assert/strict';
import { test } from 'node:test';

import { encode } from '../src/codec.ts';
import { Entries } from '../src/column.ts';
import type { Host } from '../src/contract.ts';
import { TimerCache } from '../src/timers.ts';

test('all changes are handed over once per clock, in order; those that were undone are not', () => {
  const calls: unknown[] = [];
  const host: Host['timers'] = {
    get: () => 7n,
    setMany: (clock, keys, names, times) => {
      const [key, name] = [new Entries(keys), new Entries(names)];
      calls.push([clock, ...Array.from(times, (time, i) => `${key.text(i, '')} ${name.text(i, '')} ${time}`)]);
    },
  };
  const undo: (() => void)[] = [];
  const timers = new TimerCache(host, undo);
  const key = encode('é');
  assert.equal(timers.get('event-time', key, 'a'), 7);
  timers.set('event-time', key, 'a', 10);
  timers.cancel('event-time', key, 'a');
  assert.equal(timers.get('event-time', key, 'a'), undefined);
  timers.set('wall-clock', key, 'a', 5);
  undo.length = 0;
  timers.set('event-time', key, 'a', 30);
  timers.set('event-time', key, 'b', 40);
  assert.equal(timers.get('event-time', key, 'a'), 30);
  while (undo.length > 0) undo.pop()!();
  assert.equal(timers.get('event-time', key, 'a'), undefined);
  assert.equal(timers.get('event-time', key, 'b'), 7);
  timers.set('event-time', encode('k'), 'a', 20);
  timers.flush();
  assert.deepEqual(calls, [
    ['event-time', 'é a 10', 'é a -1', 'k a 20'],
    ['wall-clock', 'é a 5'],
  ]);
});
