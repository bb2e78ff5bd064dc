import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConfigError } from 'wasmill-sdk';
import { Harness } from 'wasmill-sdk/testing';

import enrich from '../src/index.ts';

const config = { fields: { n: [1], site: 'x' }, headers: { agent: 'User-Agent', host: 'Host' } };

test('fields are added or replaced in place', () => {
  const { outputs } = new Harness(enrich, { config }).run([
    {
      value: '{"big":123456789012345678901234567890,"site":1.10, "z":{"site":[1]}}',
      headers: [['user-agent', 'old'], ['User-Agent', 'a"b']],
    },
    { value: ' {} ', headers: [['host', null]] },
    { key: 'k', value: null },
    { value: '{"s\\u0069te":{"a":[1,"}"]},"n":2}' },
  ]);
  assert.deepEqual(outputs.map(({ text }) => text), [
    '{"big":123456789012345678901234567890,"site":"x", "z":{"site":[1]},"n":[1],"agent":"a\\"b"}',
    ' {"n":[1],"site":"x","host":null}',
    null,
    '{"s\\u0069te":"x","n":[1]}',
  ]);
});

test('what is no object fails', () => {
  const { failures } = new Harness(enrich, { config }).run([
    { value: '[1]' },
    { value: '' },
    { value: '{}', headers: [['host', Uint8Array.of(0xff)]] },
  ]);
  assert.deepEqual(failures.map(({ code }) => code), ['bad-json', 'bad-json', 'bad-utf8']);
});

test('a field has one source', () => {
  assert.throws(
    () => new Harness(enrich, { config: { fields: { a: 1 }, headers: { a: 'A' } } }),
    (error) => error instanceof ConfigError && error.problems[0]?.pointer === '/headers/a',
  );
});
