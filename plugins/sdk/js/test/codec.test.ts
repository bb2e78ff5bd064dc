import assert from 'node:assert/strict';
import { test } from 'node:test';

import { asciiBytes, bytesAreAscii, decode, encode, fromBinary, toBinary } from '../src/codec.ts';
import { columnOf, Entries } from '../src/column.ts';

const texts = ['', 'plain', '\0', 'é', '你好', '😀', '\ufeffx', 'a\u{10ffff}'];

/** Runs a test as in QuickJS, which has base64 of bytes, and as in Node 20, which has not. */
function both(name: string, run: () => void): void {
  test(name, run);
  test(`${name}, by base64`, () => {
    const bytes = Uint8Array as unknown as { fromBase64?: unknown; prototype: { toBase64?: unknown } };
    const before = [bytes.fromBase64, bytes.prototype.toBase64];
    bytes.fromBase64 = (text: string) => new Uint8Array(Buffer.from(text, 'base64'));
    bytes.prototype.toBase64 = function (this: Uint8Array): string {
      return Buffer.from(this).toString('base64');
    };
    try {
      run();
    } finally {
      [bytes.fromBase64, bytes.prototype.toBase64] = before;
    }
  });
}

both('text and UTF-8', () => {
  for (const text of texts) {
    const binary = encode(text);
    assert.deepEqual(Buffer.from(fromBinary(binary)), Buffer.from(text), text);
    assert.equal(toBinary(new Uint8Array(Buffer.from(text))), binary, text);
    assert.equal(decode(binary), text);
  }
  assert.equal(decode(encode('a\ud800b')), 'a\ufffdb');
});

test('what is no UTF-8 is refused', () => {
  for (const bytes of ['ff', 'c3', 'c080', 'e08080', 'eda080', 'f4908080', '80', 'c3a9c3', 'f5808080']) {
    assert.equal(decode(toBinary(new Uint8Array(Buffer.from(bytes, 'hex')))), undefined, bytes);
  }
});

test('one byte above ASCII is found wherever it stands', () => {
  for (let length = 0; length < 70; length++) {
    const bytes = new Uint8Array(length).fill(0x7f);
    assert.ok(bytesAreAscii(bytes));
    for (let i = 0; i < length; i++) {
      bytes[i] = 0x80;
      assert.ok(!bytesAreAscii(bytes), `${i} of ${length}`);
      bytes[i] = 0x7f;
    }
  }
  assert.ok(!bytesAreAscii(Uint8Array.of(0, 0, 200, 1).subarray(1)));
});

both('columns of text, bytes, null and inherited entries', () => {
  const column = columnOf(['a', null, Uint8Array.of(0xff, 1), undefined, 'é', '']);
  assert.deepEqual([...column.ends], [1, 1, 3, 3, 5, 5]);
  assert.deepEqual([...column.marks], [0, 1, 0, 2, 0, 0]);
  const entries = new Entries(column);
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6].map((i) => entries.isNull(i)), [false, true, false, true, false, false, true]);
  assert.deepEqual([...entries.bytes(2)], [0xff, 1]);
  assert.equal(entries.textOrNone(2), undefined);
  assert.equal(entries.textOrNone(4), 'é');
  assert.equal(columnOf([undefined, undefined]).ends.length, 0);
  assert.deepEqual([...columnOf(['a', 'ÿ']).data], [97, 0xc3, 0xbf]);
});

both('ASCII text in one go', () => {
  assert.deepEqual([...asciiBytes('ab')!], [97, 98]);
  assert.equal(asciiBytes('aÿ'), undefined);
  assert.equal(asciiBytes('a你'), undefined);
});
