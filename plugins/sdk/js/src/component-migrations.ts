// The part of a component that migrates state: `wasmill build` bundles it for a plugin whose package.json
// says so.

import plugin from 'wasmill-plugin';
import { configured, exported } from './instance.ts';

if (plugin.spec.migrate === undefined) {
  throw new TypeError('package.json says `"migrates": true`, but the plugin has no `migrate`');
}
exported.add('migrate');

/** The contract's interface of this name. */
export const migrationHandler = {
  migrate: (fromVersion: number): void => configured().migrate(fromVersion),
};
