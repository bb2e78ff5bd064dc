import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

// @ts-expect-error A script without types.
import { bindings, TYPES } from '../scripts/bindings.mjs';

test('the types of the bindings are those of wit/plugin.wit', async () => {
  const expected: string = await bindings();
  assert.match(expected, /export function putMany\(/);
  assert.equal(readFileSync(TYPES as string, 'utf8'), expected, 'run `npm run bindings`');
});
