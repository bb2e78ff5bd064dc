"""Counts words: the key is the word; each record raises its count by one and emits the new one."""

from wasmill_sdk import U64, Context, Plugin, Port, Record, Store, export


class WordCount(Plugin):
    """Counts words by their key."""

    name = "word_count"
    version = "0.1.0"
    ports = [Port("out", '{"word","count"} for each record, keyed by the word')]

    count = Store("count", U64, doc="How often each word was seen")

    def process(self, record: Record, ctx: Context) -> None:
        word = record.key_text()
        count = ctx.get(self.count, 0) + 1
        ctx.put(self.count, count)
        ctx.emit({"word": word, "count": count})


export(WordCount)
