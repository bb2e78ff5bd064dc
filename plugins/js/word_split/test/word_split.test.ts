import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConfigError } from 'wasmill-sdk';
import { Harness } from 'wasmill-sdk/testing';

import wordSplit from '../src/index.ts';
import { words } from '../src/words.ts';

test('words are letters, marks and numbers', () => {
  assert.deepEqual(words('Hello, world! 42nd_x'), ['hello', 'world', '42nd', 'x']);
  assert.deepEqual(words(" -- ' '' ’"), []);
  assert.deepEqual(words('naïve ΗΜΕΡΑ 你好'), ['naïve', 'ημερα', '你好']);
  assert.deepEqual(words('e\u0301te\u0301 Ⅱ x²'), ['e\u0301te\u0301', 'ⅱ', 'x²']);
});

test('apostrophes between letters are kept', () => {
  assert.deepEqual(words("don't 'quoted' rock'n'roll 5'6 a''b"), ['don\'t', 'quoted', "rock'n'roll", '5', '6', 'a', 'b']);
  assert.deepEqual(words("l’e\u0301te\u0301's dogs'"), ["l’e\u0301te\u0301's", 'dogs']);
});

test('lower case is that of each word', () => {
  assert.deepEqual(words('ΟΔΟΣ.ΣΑΣ İ'), ['οδος', 'σας', 'i\u0307']);
});

test('the text may be a field', () => {
  for (const field of ['text', '/text']) {
    const { outputs, failures } = new Harness(wordSplit, { config: { field } }).run([
      { key: 'k', value: '{"text":"One TWO"}' },
      { value: '{"txt":"x"}' },
      { value: '{"text":1}' },
      { value: 'no json' },
      { value: null },
    ]);
    assert.deepEqual(outputs.map(({ text, keyText }) => [text, keyText]), [['one', 'one'], ['two', 'two']]);
    assert.deepEqual(failures.map(({ code }) => code), ['no-field', 'not-text', 'bad-json']);
  }
});

test('a misspelt option and an empty one are found', () => {
  for (const [config, pointer] of [[{ feild: 'text' }, '/feild'], [{ field: '' }, '/field']] as const) {
    assert.throws(
      () => new Harness(wordSplit, { config }),
      (error) => error instanceof ConfigError && error.problems[0]?.pointer === pointer,
    );
  }
});
