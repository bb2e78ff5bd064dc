// Writes the SDK's src/wasmill-plugin.d.ts from wit/plugin.wit: `npm run bindings`. test/bindings.test.ts calls it too.

import { $init, generateTypes } from '@bytecodealliance/jco-transpile/component';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Where the types are kept. */
export const TYPES = here('../../sdk/js/src/wasmill-plugin.d.ts');

const CONTRACT = readFileSync(here('../../../wit/plugin.wit'), 'utf8');
/** As `wasmill build` does for a plugin that answers and migrates. */
const WORLD = 'world built { include timed-transform; include query; include migrate; }';

/** The types of the contract, with all that a plugin may have. */
export async function bindings() {
  await $init;
  const files = generateTypes('built', {
    wit: { tag: 'source', val: `${CONTRACT}\n${WORLD}\n` },
    world: 'built',
    guest: true,
    tlaCompat: false,
    features: { tag: 'list', val: [] },
    flagsAsBigint: false,
  });
  const text = new TextDecoder();
  const modules = files
    .filter(([name]) => name.startsWith('interfaces/'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, bytes]) => text.decode(bytes).trim());
  return `// Generated from wit/plugin.wit by \`npm run bindings\`. Do not edit.\n\n${modules.join('\n\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(TYPES, await bindings());
