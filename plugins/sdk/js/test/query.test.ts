import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Answer, definePlugin, json, keyed, RecordError, shared, textOf, u64, utf8, type Plugin, type Query, type Reader } from '../src/index.ts';
import { describe, Runtime } from '../src/runtime.ts';
import { FakeHost } from '../src/testing-host.ts';
import { Harness } from '../src/testing.ts';

const stores = { names: shared(utf8), count: keyed(u64) };

/** A plugin that counts records by key. */
function answering(answer: (query: Query, reader: Reader<typeof stores>) => Answer): Plugin {
  return definePlugin({
    name: 'test',
    version: '1',
    stores,
    process(_record, ctx) {
      ctx.stores.count.put((ctx.stores.count.get() ?? 0n) + 1n);
    },
    answer,
  });
}

function eight(count: number): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(count)).buffer);
}

function harness(answer: (query: Query, reader: Reader<typeof stores>) => Answer): Harness {
  const plugin = new Harness(answering(answer));
  plugin.run([{ key: 'ab' }, { key: 'b' }, { key: 'ab' }]);
  plugin.storeOf('other', 'count', 'a', eight(7));
  return plugin;
}

test('a query reads own stores', () => {
  const plugin = harness((_, { stores: { count, names } }) =>
    Answer.json([
      count.get('ab') ?? null,
      count.get(Uint8Array.of(98)) ?? null,
      count.get('x') ?? null,
      count.getMany(['b', 'x', 'ab']).map((one) => one ?? null),
      count.getMany([]),
      names.get('x') ?? null,
    ]),
  );
  assert.deepEqual(plugin.ask().json, [2, 1, null, [1, null, 2], [], null]);
  const clock = harness((_, reader) => Answer.json(reader.now()));
  clock.advance(5, 'wall-clock');
  assert.equal(clock.ask().json, 5);
});

test('a query reads stores of another transform by their names', () => {
  const plugin = harness((query, reader) => {
    const { count, none } = reader.of(query.path[0]!, { count: keyed(u64), none: keyed(u64) }).stores;
    if (query.path[1] === 'none') return Answer.json(none.get('a'));
    const pairs = count.scan().entries.map(([key, value]) => [textOf(key), value]);
    return Answer.json([count.get('a'), count.getMany(['b', 'a']).map((one) => one ?? null), pairs]);
  });
  assert.deepEqual(plugin.ask('other').json, [7, [null, 7], [['a', 7]]]);
  assert.throws(() => plugin.ask('other/none'), /no transform `other` has a store `none`/);
  assert.throws(() => harness((_, reader) => Answer.json(reader.of(1 as never, {}))).ask(), TypeError);
});

test('a query scans', () => {
  const plugin = harness((query, reader) => {
    const [prefix, after] = [query.parameter('prefix'), query.parameter('after')];
    const { entries, more } = reader.stores.count.scan({
      limit: Number(query.path[0]),
      ...(prefix !== undefined && { prefix }),
      ...(after !== undefined && { after }),
    });
    return Answer.json([entries.length, entries.slice(0, 2).map(([key]) => textOf(key)), more]);
  });
  assert.deepEqual(plugin.ask('9').json, [2, ['ab', 'b'], false]);
  assert.deepEqual(plugin.ask('1').json, [1, ['ab'], true]);
  assert.deepEqual(plugin.ask('1?after=ab').json, [1, ['b'], false]);
  assert.deepEqual(plugin.ask('9?prefix=a').json, [1, ['ab'], false]);
  assert.deepEqual(plugin.ask('9?prefix=a&after=ab').json, [0, [], false]);
  assert.throws(() => plugin.ask('1.5'), /a limit is a whole number/);
  // As the host, it gives no more than 1000 at once.
  for (let i = 0; i < 1500; i++) plugin.store('count', `k${String(i).padStart(4, '0')}`, eight(i));
  assert.deepEqual(plugin.ask('5000?prefix=k').json, [1000, ['k0000', 'k0001'], true]);
  assert.deepEqual(plugin.ask('5000?prefix=k&after=k0999').json, [500, ['k1000', 'k1001'], false]);
});

test('what cannot be read is `bad-state`', () => {
  const reads: ((reader: Reader<typeof stores>) => unknown)[] = [
    ({ stores: { count } }) => count.get('bad'),
    ({ stores: { count } }) => count.getMany(['bad']),
    ({ stores: { count } }) => count.scan(),
  ];
  for (const read of reads) {
    const plugin = harness((_, reader) => Answer.json(read(reader)));
    plugin.store('count', 'bad', '1');
    assert.throws(() => plugin.ask(), { code: 'bad-state' });
  }
  const names = harness((_, reader) => Answer.json(reader.stores.names.get('a')));
  names.store('names', 'a', Uint8Array.of(0xff));
  assert.throws(() => names.ask(), { code: 'bad-state' });
  assert.throws(() => harness((_, reader) => Answer.json(reader.stores.count.get(1 as never))).ask(), /a key is text or bytes, not number/);
});

test('the question', () => {
  const asked: unknown[] = [];
  const plugin = harness((query) => {
    asked.push([query.path, query.parameters, query.parameter('a'), query.parameter('c')]);
    return Answer.text('');
  });
  plugin.ask();
  plugin.ask('items/7?a=1&a=2=3&b');
  assert.deepEqual(asked, [
    [[], [], undefined, undefined],
    [['items', '7'], [['a', '1'], ['a', '2=3'], ['b', '']], '1', undefined],
  ]);
});

test('kinds of answers', () => {
  const text = 'text/plain; charset=utf-8';
  const kinds: [Answer, number, string, string | null][] = [
    [Answer.json({ é: 1, n: 2n ** 63n }), 200, 'application/json', '{"é":1,"n":9223372036854775808}'],
    [Answer.json(undefined), 200, 'application/json', 'null'],
    [Answer.text('é'), 200, text, 'é'],
    [Answer.bytes('text/html', '<p>'), 200, 'text/html', '<p>'],
    [Answer.bytes('image/png', Uint8Array.of(0xff)), 200, 'image/png', null],
    [Answer.notFound('no'), 404, text, 'no'],
    [Answer.badRequest('no'), 400, text, 'no'],
    [Answer.text('new').withStatus(201), 201, text, 'new'],
  ];
  for (const [answer, status, contentType, body] of kinds) {
    const answered = harness(() => answer).ask();
    assert.deepEqual([answered.status, answered.contentType, answered.text], [status, contentType, body]);
  }
});

test('what is no answer', () => {
  assert.throws(() => Answer.text(1 as never), TypeError);
  assert.throws(() => Answer.bytes(1 as never, ''), TypeError);
  assert.throws(() => Answer.bytes('text/plain', null as never), TypeError);
  for (const status of [199, 600, 404.5, '404' as never]) assert.throws(() => Answer.text('').withStatus(status), RangeError);
  assert.throws(() => harness(() => ({ status: 200 }) as never).ask(), /must return an Answer/);
  assert.throws(() => harness((async () => Answer.text('')) as never).ask(), /answer must not be async/);
  const silent = definePlugin({ name: 'test', version: '1', process() {} });
  assert.throws(() => new Harness(silent).ask(), /has no `answer`/);
});

test('what the component answers', (t) => {
  const logged = t.mock.method(console, 'error', () => {});
  const answer = (answered: () => Answer): unknown => {
    const runtime = new Runtime(answering(answered), new FakeHost(0));
    assert.deepEqual(runtime.configure('{}'), []);
    try {
      const { status, contentType, body } = runtime.answer({ path: [], parameters: [] });
      return [status, contentType, textOf(body)];
    } catch (thrown) {
      return thrown;
    }
  };
  assert.deepEqual(answer(() => Answer.json([1])), [200, 'application/json', '[1]']);
  // The contract takes text.
  assert.equal(answer(() => { throw new RecordError('no-mood', 'not today\ud800'); }), 'no-mood: not today\ufffd');
  assert.equal(logged.mock.callCount(), 0);
  assert.equal(answer(() => { throw new TypeError('oh'); }), 'error: TypeError: oh');
  assert.match(String(logged.mock.calls[0]!.arguments[0]), /^error .*TypeError: oh\n.*query\.test\.ts/s);
});

test('the stores of an answering plugin have types', () => {
  const typed = definePlugin({
    name: 'test',
    version: '1',
    stores: { point: keyed(json<{ x: number }>()) },
    process() {},
    answer(_query, reader) {
      const x: number | undefined = reader.stores.point.get('a')?.x;
      // @ts-expect-error There is no such store.
      void reader.stores.none;
      return Answer.json(x ?? null);
    },
  });
  assert.equal(describe(typed).stores[0]!.name, 'point');
  assert.equal(new Harness(typed).ask().json, null);
});
