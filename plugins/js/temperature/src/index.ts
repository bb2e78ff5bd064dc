// For each reading of a room: the change since the last one, and the running average.
//
// Input {"room","temp","ts"}, keyed by the room. The average is the sum of all readings in the order
// of their offsets, divided by their count.

import { definePlugin, f64s, integer, keyed, number, numberToJson, object, RecordError, string, toJson } from 'wasmill-sdk';

const reading = object({ room: string(), temp: number(), ts: integer() });

export default definePlugin({
  name: 'temperature',
  version: '0.1.0',
  doc: "Change and running average of each room's temperature",
  ports: { out: { doc: '{"room","temp","delta","avg","count","ts"} for each reading, keyed by the room' } },
  // A count below 2^53 is exact as f64.
  stores: { room: keyed(f64s(3), 'Last reading, sum and count, each as f64') },

  process(record, ctx) {
    if (!record.hasKey) throw new RecordError('no-key', 'the record has no key');
    const { room, temp, ts } = record.json(reading);
    if (!record.keyIs(room)) {
      throw new RecordError(
        'wrong-key',
        `the record's key is not the reading's room \`${room}\`; give the source \`key = "/room"\``,
      );
    }
    const before = ctx.stores.room.get();
    const [last, total, seen] = before ?? [0, 0, 0];
    const sum = total + temp;
    const count = seen + 1;
    if (!Number.isFinite(sum)) {
      throw new RecordError('out-of-range', 'the sum of the readings is beyond what f64 holds');
    }
    ctx.stores.room.put([temp, sum, count]);
    const delta = before === undefined ? 'null' : numberToJson(temp - last);
    // As text: quicker than `ctx.emit({ room, ... })`, and -0 stays what it is.
    ctx.emit(
      `{"room":${toJson(room)},"temp":${numberToJson(temp)},"delta":${delta},"avg":${numberToJson(sum / count)},"count":${count},"ts":${ts}}`,
    );
  },
});
