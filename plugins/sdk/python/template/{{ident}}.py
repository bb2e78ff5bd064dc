"""Counts the records of each key."""

from wasmill_sdk import U64, Context, Plugin, Port, Record, RecordError, Store, export


class CountRecords(Plugin):
    """Counts the records of each key."""

    name = "{{name}}"
    version = "0.1.0"
    ports = [Port("out", '{"key","count"} for each record')]

    # One value per record key, kept by the host.
    count = Store("count", U64, doc="How many records the key has had")

    def process(self, record: Record, ctx: Context) -> None:
        if record.value is None:
            raise RecordError("no-value", "the record has no value")
        count = ctx.get(self.count, 0) + 1
        ctx.put(self.count, count)
        ctx.emit({"key": record.key_text(), "count": count})


export(CountRecords)
