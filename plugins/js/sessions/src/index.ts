// Activity per key: a session ends when nothing came for a while.
//
// Two records of a key belong to one session when their times are less than `gap_ms` apart, in
// whatever order they come. One event-time timer per key stands at the earliest end of a session.

import { array, definePlugin, integer, json, keyed, object, RecordError, tuple, type Context, type KeyedStore } from 'wasmill-sdk';

/** Start, end and count of an open session. */
type Session = [start: number, end: number, count: number];

const sessions = array(tuple(integer(), integer(), integer()));

const TIMER = 'close';

export default definePlugin({
  name: 'sessions',
  version: '0.1.0',
  doc: 'Sessions of each key: they end after a gap in event time',
  ports: { out: { doc: '{"key","start","end","count"} when a session ends, at its end' } },
  stores: { open: keyed(json<Session[]>(sessions), 'Open sessions: [[start, end, count], ...] by rising start') },
  config: object({ gap_ms: integer({ min: 1, doc: 'How long a key must be silent for its session to end.' }) }),

  process(record, ctx, { gap_ms: gap }) {
    record.keyText(); // It goes into the output.
    const time = record.timestamp;
    if (time === null) throw new RecordError('no-timestamp', 'the record has no timestamp');
    const open = ctx.stores.open.get() ?? [];
    const joined: Session = [time, time, 1];
    const others = open.filter((session) => {
      const near = time - session[1] < gap && session[0] - time < gap;
      if (near) {
        joined[0] = Math.min(joined[0], session[0]);
        joined[1] = Math.max(joined[1], session[1]);
        joined[2] += session[2];
      }
      return !near;
    });
    keep(ctx, ctx.stores.open, [...others, joined], gap);
  },

  onTimer(timer, ctx, { gap_ms: gap }) {
    const key = timer.keyText();
    const open = ctx.stores.open.get() ?? [];
    // The first timer of a jump of time emits all that has ended by then.
    const watermark = ctx.watermark();
    const ended = open.filter(([, end]) => end + gap <= watermark);
    for (const [start, end, count] of ended.sort((a, b) => a[1] - b[1])) {
      ctx.emit({ key, start, end, count }, { timestamp: end });
    }
    const rest = open.filter(([, end]) => end + gap > watermark);
    keep(ctx, ctx.stores.open, rest, gap);
  },
});

/** Stores the open sessions and sets the timer to the earliest end. */
function keep(ctx: Pick<Context, 'setTimer'>, store: KeyedStore<Session[]>, open: Session[], gap: number): void {
  if (open.length === 0) {
    store.remove();
    return;
  }
  store.put(open.sort((a, b) => a[0] - b[0]));
  ctx.setTimer(TIMER, Math.min(...open.map(([, end]) => end)) + gap);
}
