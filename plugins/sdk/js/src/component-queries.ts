// The part of a component that answers queries: `wasmill build` bundles it for a plugin whose package.json
// says so.

import plugin from 'wasmill-plugin';
import * as stores from 'wasmill:plugin/stores@0.1.2';
import type { Request, Response } from './contract.ts';
import { configured, exported, instance } from './instance.ts';

if (plugin.spec.answer === undefined) {
  throw new TypeError('package.json says `"queries": true`, but the plugin has no `answer`');
}
exported.add('answer');
instance.stores = stores;

/** The contract's interface of this name. */
export const queryHandler = {
  answer: (request: Request): Response => configured().answer(request),
};
