import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bytes, definePlugin, f64, f64s, INHERIT, json, keyed, RecordError, s64, shared, u64, utf8, type Context, type Plugin, type Record as Rec } from '../src/index.ts';
import { columnOf, EMPTY } from '../src/column.ts';
import type { Inbound } from '../src/contract.ts';
import { describe, Runtime } from '../src/runtime.ts';
import { FakeHost } from '../src/testing-host.ts';
import { Harness } from '../src/testing.ts';

const ports = { out: {}, other: { rekeys: true } } as const;
const stores = { count: keyed(f64), last: shared(utf8) };

/** A plugin of one function. */
function plugin(process: (record: Rec, ctx: Context<typeof stores, 'out' | 'other'>) => void): Plugin {
  return definePlugin({ name: 'test', version: '1', ports, stores, process });
}

/** One that sets timers. */
function timed(process: (record: Rec, ctx: Context) => void): Plugin {
  return definePlugin({ name: 'test', version: '1', process, onTimer() {} });
}

/** One batch of the key `k`: the harness cuts where a plugin sets timers. */
function batch(values: string[], times: bigint[]): Inbound {
  return {
    count: values.length,
    partition: 0,
    keys: columnOf(values.map(() => 'k')),
    values: columnOf(values),
    timestamps: BigInt64Array.from(times),
    inputs: new Uint8Array(),
    headers: { ends: new Uint32Array(), names: EMPTY, values: EMPTY, marks: new Uint8Array() },
    origins: { topics: [], topicIndexes: new Uint16Array(), partitions: new Uint32Array(), offsets: new BigInt64Array() },
  };
}

const codes = (run: { failures: { code: string }[] }): string[] => run.failures.map(({ code }) => code);

test('outputs inherit what is not given', () => {
  const run = new Harness(
    plugin((record, ctx) => {
      ctx.emit(INHERIT);
      ctx.emit({ a: [1] }, { port: 'other', key: 'k2', timestamp: 9, headers: [['h', 'v'], ['n', null]] });
      ctx.emit(null);
      if (record.text() === 'b') ctx.emit(Uint8Array.of(255), { port: 'other', key: null, replaceHeaders: true });
    }),
  ).run([{ key: 'k', value: 'a', timestamp: 5 }, { key: 'k', value: 'b', timestamp: null }]);
  assert.deepEqual(codes(run), []);
  const short = run.outputs.map(({ parent, port, keyText, text, timestamp, headers }) => [parent, port, keyText, text, timestamp, headers.length]);
  assert.deepEqual(short, [
    [0, 'out', 'k', 'a', 5, 0],
    [0, 'other', 'k2', '{"a":[1]}', 9, 2],
    [0, 'out', 'k', null, 5, 0],
    [1, 'out', 'k', 'b', null, 0],
    [1, 'other', 'k2', '{"a":[1]}', 9, 2],
    [1, 'out', 'k', null, null, 0],
    [1, 'other', null, null, null, 0],
  ]);
  assert.deepEqual([...run.outputs[6]!.value!], [255]);
  assert.equal(run.outputs[6]!.key, null);
});

test('a record that fails leaves no outputs, state and timers behind', () => {
  const failing = definePlugin({
    name: 'test',
    version: '1',
    stores,
    process(record, ctx) {
      const count = (ctx.stores.count.get() ?? 0) + 1;
      ctx.stores.count.put(count);
      ctx.stores.last.put('key', record.text());
      ctx.setTimer('t', 100 + count);
      if (record.text() === 'cancel') ctx.cancelTimer('t');
      ctx.emit({ count });
      if (record.text() === 'code') throw new RecordError('my-code', 'mine', 'more');
      if (record.text() === 'bug') (undefined as any).missing();
      if (record.text() === 'text') throw 'text';
      if (record.text() === 'async') return Promise.resolve() as unknown as void;
    },
    onTimer() {},
  });
  const harness = new Harness(failing);
  const run = harness.run(['ok', 'code', 'bug', 'text', 'async', 'ok'].map((value) => ({ key: 'k', value })));
  assert.deepEqual(run.outputs.map(({ text, parent }) => [text, parent]), [['{"count":1}', 0], ['{"count":2}', 5]]);
  assert.deepEqual(run.failures.map(({ index, code, message }) => [index, code, message.slice(0, 9)]), [
    [1, 'my-code', 'mine'],
    [2, 'error', 'TypeError'],
    [3, 'error', 'text'],
    [4, 'error', 'TypeError'],
  ]);
  assert.equal(run.failures[0]!.detail, 'more');
  assert.match(run.failures[1]!.detail, /plugin\.test\.ts/);
  assert.deepEqual(harness.timers.map(({ time }) => time), [102]);
  assert.equal(Buffer.from(harness.state('last').get('key')!).toString(), 'ok');
  assert.deepEqual(codes(harness.run([{ key: 'k', value: 'cancel' }])), []);
  assert.deepEqual(harness.timers, []);
});

test('results do not depend on the batches', () => {
  const records = Array.from({ length: 50 }, (_, i) => ({ key: `k${i % 7}`, value: i % 5 === 0 ? 'fail' : `${i}` }));
  const results = [1, 3, Infinity].map((batch) => {
    const harness = new Harness(
      plugin((record, ctx) => {
        const count = (ctx.stores.count.get() ?? 0) + 1;
        const last = ctx.stores.last.get('last') ?? '';
        if (count === 3) ctx.stores.count.remove();
        else ctx.stores.count.put(count);
        ctx.stores.last.put('last', record.text());
        ctx.emit({ count, last });
        if (record.text() === 'fail') throw new Error('no');
      }),
      { batch },
    );
    const { outputs, failures } = harness.run(records);
    return [outputs.map(({ parent, text }) => [parent, text]), failures.map(({ index }) => index), harness.state('count')];
  });
  assert.deepEqual(results[0], results[2]);
  assert.deepEqual(results[1], results[2]);
  assert.equal((results[0]![0] as unknown[]).length, 40);
});

test('misuse has the codes that all SDKs share', () => {
  const misuse = (run: (record: Rec, ctx: any) => void, make: (run: any) => Plugin = plugin): string =>
    codes(new Harness(make(run)).run([{ key: Uint8Array.of(255), value: Uint8Array.of(255) }]))[0]!;
  assert.equal(misuse((_, ctx) => ctx.emit('', { port: 'none' })), 'no-port');
  assert.equal(misuse((_, ctx) => ctx.emit('', { key: 'other' })), 'key-changed');
  assert.equal(misuse((_, ctx) => ctx.emit('', { key: null })), 'key-changed');
  assert.equal(misuse((record, ctx) => ctx.emit('', { key: record.key })), undefined);
  assert.equal(misuse((_, ctx) => ctx.stores['count'].get('key')), 'keyed-store');
  assert.equal(misuse((_, ctx) => ctx.stores['count'].put('key', 1)), 'keyed-store');
  assert.equal(misuse((_, ctx) => ctx.setTimer('', 1), timed), 'no-timer-name');
  assert.equal(misuse((_, ctx) => ctx.setTimer('é'.repeat(128), 1), timed), 'no-timer-name');
  assert.equal(misuse((_, ctx) => ctx.setTimer('é'.repeat(127), 1), timed), undefined);
  assert.equal(misuse((_, ctx) => ctx.setTimer('x', -1), timed), 'error');
  const without = definePlugin({ name: 'x', version: '1', process: (_, ctx) => ctx.setTimer('x', 1) });
  assert.match(new Harness(without).run([{ key: 'k' }]).failures[0]!.message, /needs `onTimer`/);
  assert.equal(misuse((record) => record.text()), 'bad-utf8');
  assert.equal(misuse((record) => record.keyText()), 'bad-utf8');
  assert.equal(misuse((record) => record.json()), 'bad-json');
  const nothing = (run: (record: Rec, ctx: any) => void, make: (run: any) => Plugin = plugin): string =>
    codes(new Harness(make(run)).run([{}]))[0]!;
  assert.equal(nothing((record) => record.text()), 'no-value');
  assert.equal(nothing((record) => record.keyText()), 'no-key');
  assert.equal(nothing((_, ctx) => ctx.stores['count'].get()), 'no-key');
  assert.equal(nothing((_, ctx) => ctx.setTimer('x', 1), timed), 'no-key');
});

test('what cannot be written fails its record alone', () => {
  const wrong: [RegExp, (record: Rec, ctx: any) => void][] = [
    [/^RangeError: the timestamp .* not NaN$/, (_, ctx) => ctx.emit('x', { timestamp: Date.parse('no date') })],
    [/^RangeError: the timestamp .* not 1\.5$/, (_, ctx) => ctx.emit('x', { timestamp: 1.5 })],
    [/^RangeError: the timestamp .* not -1$/, (_, ctx) => ctx.emit('x', { timestamp: -1 })],
    [/^RangeError: the timestamp .* not -?Infinity$/, (_, ctx) => ctx.emit('x', { timestamp: Infinity })],
    [/^RangeError: the timestamp .* not 1e\+300$/, (_, ctx) => ctx.emit('x', { timestamp: 1e300 })],
    [/^TypeError: the timestamp .* not bigint$/, (_, ctx) => ctx.emit('x', { timestamp: 5n })],
    [/^TypeError: the timestamp .* not string$/, (_, ctx) => ctx.emit('x', { timestamp: '5' })],
    [/^TypeError: the timestamp .* not null$/, (_, ctx) => ctx.emit('x', { timestamp: null })],
    [/^TypeError: the key .* not number$/, (_, ctx) => ctx.emit('x', { key: 5, port: 'other' })],
    [/^TypeError: the key .* not object$/, (_, ctx) => ctx.emit('x', { key: [1] })],
    [/^TypeError: the header `h` .* not number$/, (_, ctx) => ctx.emit('x', { headers: [['h', 5]] })],
    [/^TypeError: the header `h` .* not undefined$/, (_, ctx) => ctx.emit('x', { headers: [['ok', ''], ['h']] })],
    [/^TypeError: a header's name .* not number$/, (_, ctx) => ctx.emit('x', { headers: [[5, 'x']] })],
    [/^TypeError: .*iterable/, (_, ctx) => ctx.emit('x', { headers: { h: 'x' } })],
    [/^TypeError: undefined is no value/, (_, ctx) => ctx.emit(undefined)],
    [/^TypeError: the value .* not number$/, (_, ctx) => ctx.stores.last.put('k', 5)],
    [/^TypeError: a key .* not number$/, (_, ctx) => ctx.stores.last.put(5, 'x')],
    [/^TypeError: the value .* not string$/, (_, ctx) => ctx.stores.raw.put('x')],
    [/^TypeError: .*BigInt/, (_, ctx) => ctx.stores.count.put(5n)],
    [/^TypeError: .*BigInt/, (_, ctx) => ctx.stores.three.put([1, 5n, 2])],
    [/^TypeError: .*BigInt/, (_, ctx) => ctx.stores.four.put([1, 5n, 2, 3])],
    [/^TypeError: .*BigInt/, (_, ctx) => ctx.stores.big.put(5)],
    [/^RangeError: the time of the timer `t` .* not NaN$/, (_, ctx) => ctx.setTimer('t', NaN)],
    [/^RangeError: the time of the timer `t` .* not 0\.5$/, (_, ctx) => ctx.setTimer('t', 0.5)],
    [/^TypeError: the time of the timer `t` .* not bigint$/, (_, ctx) => ctx.setTimer('t', 5n)],
    [/^TypeError: a timer's name .* not number$/, (_, ctx) => ctx.setTimer(5, 5)],
    [/^what was thrown cannot be read$/, () => { throw Object.create(null); }],
    [/^mine$/, () => { throw new RecordError(5 as any, 'mine', { of: 'no text' } as any); }],
  ];
  const specs = { count: keyed(f64), last: shared(utf8), raw: keyed(bytes), three: keyed(f64s(3)), four: keyed(f64s(4)), big: keyed(u64) };
  for (const [message, act] of wrong) {
    for (const caught of [false, true]) {
      const made = definePlugin({
        name: 'test',
        version: '1',
        ports,
        stores: specs,
        process(record, ctx) {
          if (record.text() === 'wrong' && !caught) act(record, ctx);
          if (record.text() === 'wrong') assert.throws(() => act(record, ctx));
          ctx.emit(record.text(), { timestamp: 7, headers: [['h', 'v'], ['n', null]] });
        },
        onTimer() {},
      });
      const host = new FakeHost(0);
      const runtime = new Runtime(made, host);
      assert.deepEqual(runtime.configure('{}'), []);
      const out = runtime.process(batch(['a', 'wrong', 'b'], [1n, 2n, 3n]));
      assert.deepEqual([...out.parents], caught ? [] : [0, 2], `${message}`);
      assert.deepEqual([...out.timestamps], caught ? [7n, 7n, 7n] : [7n, 7n], `${message}`);
      assert.equal(out.failures.length, caught ? 0 : 1, `${message}`);
      if (!caught) assert.match(out.failures[0]!.message, message);
      assert.deepEqual([host.entries(0).size, host.entries(1).size, host.timersBy('event-time')], [0, 0, []], `${message}`);
    }
  }
});

test('a timestamp of a record, whatever it is, may be given to an output', () => {
  const runtime = new Runtime(plugin((record, ctx) => ctx.emit('x', { timestamp: record.timestamp! })), new FakeHost(0));
  runtime.configure('{}');
  const times = [0n, 2n ** 53n - 1n, 2n ** 63n - 1n];
  assert.deepEqual([...runtime.process(batch(['', '', ''], times)).timestamps], times);
});

test('a timer beyond all times waits for the last one', () => {
  const seen: unknown[] = [];
  const made = timed((_, ctx) => {
    seen.push(ctx.timer('t'));
    if (ctx.timer('t') === undefined) ctx.setTimer('t', Number.MAX_VALUE);
    seen.push(ctx.timer('t'));
  });
  new Harness(made).run([{ key: 'k' }, { key: 'k' }]);
  assert.deepEqual(seen, [undefined, 2 ** 63, 2 ** 63, 2 ** 63]);
});

test('every format is read as it was written, and its bytes are those of other languages', () => {
  const formats = {
    json: [json<object>(), { a: [1] }, '7b2261223a5b315d7d'],
    utf8: [utf8, 'é', 'c3a9'],
    bytes: [bytes, Uint8Array.of(0, 255), '00ff'],
    u64: [u64, 2n ** 64n - 1n, 'ffffffffffffffff'],
    s64: [s64, -2n, 'feffffffffffffff'],
    f64: [f64, -0, '0000000000000080'],
    f64s: [f64s(2), [1, 2], '000000000000f03f0000000000000040'],
  } as const;
  for (const [name, [format, value, hex]] of Object.entries(formats)) {
    const seen: unknown[] = [];
    const spec = { v: keyed(format as any) };
    const harness = new Harness(
      definePlugin({
        name,
        version: '1',
        stores: spec,
        process(record, ctx) {
          seen.push(ctx.stores.v.get());
          if (record.isTombstone) ctx.stores.v.put(value);
          else if (record.text() === 'remove') ctx.stores.v.remove();
        },
      }),
    );
    harness.run([{ key: 'a' }, { key: 'a', value: 'read' }]);
    harness.run([{ key: 'b', value: 'read' }, { key: 'a', value: 'read' }]);
    assert.deepEqual(seen, [undefined, value, undefined, value], name);
    assert.equal(Buffer.from(harness.state('v').get('a')!).toString('hex'), hex, name);
    harness.run([{ key: 'a', value: 'remove' }, { key: 'a', value: 'read' }]);
    assert.equal(harness.state('v').size, 0);
    if (name === 'bytes') continue;
    harness.store('v', 'a', Uint8Array.of(0xff));
    assert.deepEqual(codes(harness.run([{ key: 'a', value: 'read' }])), ['bad-state'], name);
  }
});

test('timers fire once, in time, and see each other', () => {
  const fired: string[] = [];
  const harness = new Harness(
    definePlugin({
      name: 'timers',
      version: '1',
      process(record, ctx) {
        ctx.setTimer('a', record.timestamp! + 10);
        ctx.setTimer('wall', 50, 'wall-clock');
        assert.equal(ctx.timer('a'), record.timestamp! + 10);
        assert.equal(ctx.timer('b'), undefined);
      },
      onTimer(timer, ctx) {
        fired.push(`${timer.keyText()} ${timer.name} ${timer.time} ${timer.clock}`);
        ctx.emit('fired');
        if (timer.name === 'a') ctx.setTimer('b', timer.time + 5);
        if (timer.name === 'b') ctx.setTimer('c', timer.time);
      },
    }),
    { lateness: 2 },
  );
  harness.run([{ key: 'k', timestamp: 0 }, { key: 'j', timestamp: 11 }]);
  assert.deepEqual(fired, []);
  const run = harness.run([{ key: 'j', timestamp: 12 }]);
  assert.deepEqual(fired, ['k a 10 event-time']);
  assert.deepEqual(run.outputs.map(({ timer, keyText, timestamp, parent }) => [timer, keyText, timestamp, parent]), [['a', 'k', 10, undefined]]);
  const late = harness.advance(17);
  assert.deepEqual(fired.slice(1), ['k b 15 event-time']);
  assert.deepEqual(late.failures.map(({ timer, code, index }) => [timer, code, index]), [['b', 'error', undefined]]);
  assert.deepEqual(late.outputs, []);
  harness.advance(50, 'wall-clock');
  assert.deepEqual(fired.slice(2), ['j wall 50 wall-clock', 'k wall 50 wall-clock']);
  assert.deepEqual(harness.timers.map(({ key, name, time }) => [key, name, time]), [['j', 'a', 22]]);
});

test('a key is compared as text', () => {
  const seen: boolean[] = [];
  const harness = new Harness(plugin((record) => void seen.push(record.keyIs('é'), record.keyIs('a'), record.keyIs('Ã©'))));
  harness.run([{ key: 'é' }, { key: 'a' }, { key: 'Ã©' }, {}]);
  harness.run([{ key: 'a' }]);
  assert.deepEqual(seen, [true, false, false, false, true, false, false, false, true, false, false, false, false, true, false]);
});

test('records have headers, inputs and origins', () => {
  const seen: unknown[] = [];
  const harness = new Harness(
    definePlugin({
      name: 'reader',
      version: '1',
      inputs: ['left', 'right'],
      readsHeaders: true,
      readsOrigins: true,
      process(record) {
        seen.push([record.input, record.origin?.offset, record.headers.map(([name]) => name), record.header('h')?.[0]]);
      },
    }),
  );
  harness.run([{ headers: [['h', 'a'], ['h', 'b']] }, { input: 'right' }, { headers: [['x', null]] }]);
  assert.deepEqual(seen, [
    ['left', 0, ['h', 'h'], 98],
    ['right', 1, [], undefined],
    ['left', 2, ['x'], undefined],
  ]);
});

test('a plugin describes itself', () => {
  const about = describe(plugin(() => {}));
  assert.deepEqual(about.ports, [{ name: 'out', doc: '', rekeys: false }, { name: 'other', doc: '', rekeys: true }]);
  assert.deepEqual(about.stores.map(({ name, keyed: own, valueFormat }) => [name, own, valueFormat]), [['count', true, 'f64-le'], ['last', false, 'utf8']]);
  assert.equal(about.setsTimers, false);
  assert.equal(describe(timed(() => {})).setsTimers, true);
  assert.deepEqual(describe(definePlugin({ name: 'x', version: '1', process() {} })).ports.map(({ name }) => name), ['out']);
});

test('a plugin without options refuses any', () => {
  assert.throws(() => new Harness(plugin(() => {}), { config: { x: 1 } }), /\/x: unknown option `x`: there are none/);
});
