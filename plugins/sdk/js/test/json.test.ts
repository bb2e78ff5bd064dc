import assert from 'node:assert/strict';
import { test } from 'node:test';

import { anyJson, array, boolean, integer, number, numberToJson, object, oneOf, optional, string, table, toJson, tuple } from '../src/index.ts';
import { DEPTH_MAX, parseExact, parseJson, plain } from '../src/json.ts';
import { readConfig, readFast, readJson, schemaOf } from '../src/shape.ts';

const good = ['1', '-0', ' [1, 2.5e-3,{"a":null}]\n', '"\\ud83d\\ude00 \\n"', '{"__proto__":1}', 'true', '{}', '[]', '1e-400', '"\u2028"'];
const bad = ['', ' ', '01', '1.', '.5', '+1', '-', '[1,]', '{"a"}', '{"a":1,}', "{'a':1}", '1 2', '\ufeff1', 'NaN', '"\t"', '"\\x41"', '\u00a01', '[', '"', '1e400', '-1e400', '[{"a":1e999}]', '"\\ud800"', '{"\\udc00":1}', 'tru', '"\\u00"'];

test('both readers accept the same', () => {
  for (const text of good) assert.deepEqual(parseJson(text), plain(parseExact(text)), text);
  for (const text of bad) {
    assert.throws(() => parseJson(text), { code: 'bad-json' }, `parseJson ${text}`);
    assert.throws(() => plain(parseExact(text)), { code: 'bad-json' }, `parseExact ${text}`);
  }
});

test('nesting ends somewhere', () => {
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  assert.ok(parseJson(nested(DEPTH_MAX)));
  for (const depth of [DEPTH_MAX + 1, 100_000]) assert.throws(() => parseJson(nested(depth)), { code: 'bad-json' });
  const flat = `[${'{},'.repeat(500)}1]`;
  assert.equal((parseJson(flat) as unknown[]).length, 501);
});

test('toJson is JSON.stringify, but for bigint', () => {
  const values = [null, 1.5, -3, 1e21, 1e-7, NaN, 'é"\n\ud800', true, [], {}, [1, undefined, [null]], { a: undefined, b: { c: '' }, 'd"': 1 }, new Date(0)];
  for (const value of values) assert.equal(toJson(value), JSON.stringify(value));
  assert.equal(toJson({ big: 2n ** 64n, list: [1n, undefined], nothing: undefined, at: new Date(0) }), '{"big":18446744073709551616,"list":[1,null],"at":"1970-01-01T00:00:00.000Z"}');
  assert.deepEqual([-0, 0, 1.5, Infinity, 1e21].map(numberToJson), ['-0.0', '0', '1.5', 'null', '1e+21']);
  assert.equal(toJson(undefined), 'null');
  assert.equal(toJson(JSON.parse('{"__proto__":[1]}')), '{"__proto__":[1]}');
});

test('a shape reads what it declares and ignores the rest', () => {
  const shape = object({
    text: string(),
    list: array(tuple(integer(), boolean())),
    kind: oneOf(['a', 'b']),
    more: optional(number(), 5),
    any: anyJson(),
  });
  const read = readJson(shape, '{"text":"é","list":[[1,true]],"kind":"b","any":{"x":[1.0]},"other":1e400}');
  assert.deepEqual(read, { text: 'é', list: [[1, true]], kind: 'b', more: 5, any: { x: [1] } });
  for (const [place, text] of [
    ['/text is missing', '{"list":[],"kind":"a","any":1}'],
    ['/list/0/0 must be a whole number', '{"text":"","list":[[1.5,true]],"kind":"a","any":1}'],
    ['/list/0 must be a list of 2', '{"text":"","list":[[1]],"kind":"a","any":1}'],
    ['/kind must be `a` or `b`', '{"text":"","list":[],"kind":"c","any":1}'],
    ['it must be an object', '[]'],
  ]) {
    assert.throws(() => readJson(shape, text!), (error: Error) => error.message.includes(place!), place);
  }
});

test('the fast reader of flat objects answers as the slow one, or not at all', () => {
  const shape = object({ room: string(), temp: number({ max: 1e300 }), ts: integer(), on: boolean() });
  const slow = (text: string): unknown => {
    const problems: [] = [];
    const read = shape.read(parseExact(text), '', problems, false);
    return problems.length > 0 ? 'bad' : read;
  };
  const fields = ['"room":"a"', '"temp":-1.5e2', '"ts":12', '"on":true'];
  const flat = `{${fields.join(',')}}`;
  assert.deepEqual(readFast(shape, flat), { room: 'a', temp: -150, ts: 12, on: true });
  assert.ok(readFast(shape, ` { ${fields.join(' , ')} , "x" : "y" , "z":null}\n`.replaceAll(':', ' :\t')));
  const values = ['"a"', '""', '"\\u0061"', '"é"', '1', '-0', '1.0', '1e400', '01', '1e301', 'true', 'null', '[]', '{"a":1}', '', '9223372036854775808', '"a'];
  const wholes = fields.map((field) => field.slice(0, field.indexOf(':') + 1));
  for (let i = 0; i < fields.length; i++) {
    for (const value of values) {
      for (const tail of ['', ',"x":1', ',"ts":1', ',"t\\u0073":1', ',"x":"\\', ',', ',"x":01']) {
        const text = `{${fields.with(i, wholes[i]! + value).join(',')}${tail}}`;
        const fast = readFast(shape, text);
        if (fast === undefined) continue;
        assert.deepEqual(fast, slow(text), text);
      }
    }
  }
});

test('problems of a config table name their places', () => {
  const shape = object({ gap: integer({ min: 1, max: 9 }), names: optional(table(string({ min: 1 }))) });
  const pointers = (text: string): string[] => {
    const read = readConfig(shape, text);
    return 'problems' in read ? read.problems.map(({ pointer }) => pointer) : [];
  };
  assert.deepEqual(pointers('{"gap":1}'), []);
  assert.deepEqual(pointers('{}'), ['/gap']);
  assert.deepEqual(pointers('{"gap":10,"a/b":1}'), ['/a~1b', '/gap']);
  assert.deepEqual(pointers('{"gap":1,"names":{"x~y":"","z":1}}'), ['/names/x~0y', '/names/z']);
  assert.deepEqual(pointers('{"gap":1.0}'), ['/gap']);
  assert.deepEqual(pointers('5'), ['']);
});

test('a shape is a JSON Schema too', () => {
  const shape = object({ gap: integer({ min: 1, doc: 'How long.' }), text: optional(string(), 'x') });
  assert.deepEqual(schemaOf(shape), {
    type: 'object',
    properties: { gap: { description: 'How long.', type: 'integer', minimum: 1 }, text: { type: 'string', default: 'x' } },
    required: ['gap'],
    additionalProperties: false,
  });
});
