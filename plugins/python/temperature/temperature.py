"""For each reading of a room: the change since the last one, and the running average.

Input ``{"room","temp","ts"}``, keyed by the room. The average is the sum of all readings in the order
of their offsets, divided by their count.
"""

from math import isfinite

from wasmill_sdk import Context, Plugin, Port, Record, RecordError, Store, export, packed, quoted

TS_MIN, TS_MAX = -(2**63), 2**63 - 1


class Temperature(Plugin):
    """Change and running average of each room's temperature."""

    name = "temperature"
    version = "0.1.0"
    ports = [Port("out", '{"room","temp","delta","avg","count","ts"} for each reading, keyed by the room')]

    # A count below 2^53 is exact as a float.
    room = Store("room", packed("<3d"), doc="Last reading, sum and count, each as f64")

    def process(self, record: Record, ctx: Context) -> None:
        key = record.key
        if key is None:
            raise RecordError("no-key", "the record has no key")
        room, temp, ts = record.fields("room", "temp", "ts")
        # By type and not by isinstance: a bool is an int to Python.
        if type(temp) is int:
            temp = float(temp)
        if type(room) is not str or type(temp) is not float or type(ts) is not int:
            raise RecordError("bad-json", "`room` must be text, `temp` a number and `ts` a whole number")
        if not TS_MIN <= ts <= TS_MAX:
            raise RecordError("bad-json", f"`ts` is out of range: {ts}")
        if key != room.encode():
            raise RecordError(
                "wrong-key",
                f"the record's key is `{key.decode('utf-8', 'replace')}`, but the reading is of room"
                f' `{room}`; give the source `key = "/room"`',
            )
        before = ctx.get(self.room)
        last, total, count = before or (0.0, 0.0, 0.0)
        total += temp
        count += 1.0
        if not isfinite(total):
            raise RecordError("out-of-range", "the sum of the readings is beyond what f64 holds")
        ctx.put(self.room, (temp, total, count))
        # As Rust's SDK writes a change that no float holds.
        change = temp - last if before else None
        delta = "null" if change is None or not isfinite(change) else repr(change)
        # Written by hand, since that takes a third of the time that `ctx.emit({...})` would.
        ctx.emit(
            f'{{"room":{quoted(room)},"temp":{temp!r},"delta":{delta},"avg":{total / count!r},'
            f'"count":{int(count)},"ts":{ts}}}'
        )


export(Temperature)
