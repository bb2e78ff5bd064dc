"""Counts words: the key is the word; each record raises its count by one and emits the new one.

Asked for ``count/WORD`` it answers that word's count, for ``top?n=10`` the most frequent words.
"""

import heapq
import re
from collections.abc import Iterator

from wasmill_sdk import U64, Answer, Context, Plugin, Port, Query, Reader, Record, Store, export

TOP_MAX = 1_000


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

    def answer(self, query: Query, reader: Reader) -> Answer:
        match query.path:
            case ["count", word]:
                return Answer.json({"word": word, "count": reader.get(self.count, word, 0)})
            case ["top"]:
                number = query.parameter("n", "10")
                if not re.fullmatch("[0-9]{1,4}", number) or not 1 <= int(number) <= TOP_MAX:
                    return Answer.bad_request(f"`n` is a number from 1 to {TOP_MAX}")
                # Words with the same count come in their order.
                first = heapq.nsmallest(int(number), self._counts(reader), key=lambda one: (-one[1], one[0]))
                return Answer.json([{"word": word.decode(), "count": count} for word, count in first])
            case _:
                return Answer.not_found("ask for count/WORD or top?n=10")

    def _counts(self, reader: Reader) -> Iterator[tuple[bytes, int]]:
        """All words with their counts."""
        after: bytes | None = None
        while True:
            page = reader.scan(self.count, after=after)
            yield from page
            if not page.more:
                return
            after, _ = page.entries[-1]


export(WordCount)
