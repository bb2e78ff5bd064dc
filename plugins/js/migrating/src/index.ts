// For tests of the host: what the oracle (plugins/misbehaving/oracle) has stored as numbers is objects here. The
// configuration says whether it fails while it changes that.

import { Answer, boolean, definePlugin, integer, json, keyed, object, optional, RecordError, textOf, u64 } from 'wasmill-sdk';

const seen = object({ count: integer({ min: 0 }) });

export default definePlugin({
  name: 'migrating',
  version: '0.1.0',
  doc: 'The oracle with another way to store',
  stores: { seen: keyed(json(seen), 'How many records of a key came through') },
  stateVersion: 1,
  config: object({ refuse: optional(boolean({ doc: 'Fail half-way' }), false) }),

  process(_record, ctx) {
    const { count } = ctx.stores.seen.get() ?? { count: 0 };
    ctx.stores.seen.put({ count: count + 1 });
  },

  migrate(fromVersion, state, { refuse }) {
    if (fromVersion !== 0) throw new RecordError('no-version', `there was no version ${fromVersion}`);
    state.stores.seen.rewrite(u64, (key, count) => {
      // Half of it is done when it fails.
      if (refuse && textOf(key)?.startsWith('room-2')) throw new RecordError('no-mood', 'not today');
      return count > 0n ? { count: Number(count) } : undefined;
    });
  },

  answer(query, reader) {
    const [what, key] = query.path;
    if (what !== 'seen' || key === undefined) return Answer.notFound('no such question');
    const found = reader.stores.seen.get(key);
    return found === undefined ? Answer.notFound('never seen') : Answer.json(found);
  },
});
