// For tests of the host: what the oracle (plugins/misbehaving/oracle) has stored as numbers is objects here. The
// configuration says whether it fails while it changes that. When it is asked, the path says how.

import { Answer, boolean, definePlugin, integer, json, keyed, object, optional, RecordError, textOf, u64, type ReadableStore } from 'wasmill-sdk';

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
    const own = reader.stores.seen;
    const [what, first = '', ...rest] = query.path;
    // What the oracle stores beside it, in the same pipeline.
    const oracle = (): ReadableStore<bigint> => reader.of(first, { seen: keyed(u64) }).stores.seen;
    switch (what) {
      case 'seen': {
        const found = own.get(first);
        return found === undefined ? Answer.notFound('never seen') : Answer.json(found);
      }
      case 'many':
        return Answer.json(own.getMany([first, ...rest]));
      case 'seen-of':
        return Answer.json(oracle().get(rest[0] ?? ''));
      case 'all-of': {
        const { entries } = oracle().scan({ prefix: 'room-', after: 'room-1', limit: 2 });
        return Answer.json(Object.fromEntries(entries.map(([key, count]) => [textOf(key), count])));
      }
      case 'many-of':
        return Answer.json(oracle().getMany(rest));
      case 'now':
        return Answer.text(`${reader.now()}`).withStatus(299);
      case 'refuse':
        throw new RecordError('no-mood', 'not today');
      default:
        return Answer.notFound('no such question');
    }
  },
});
