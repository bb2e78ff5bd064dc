"""For tests of the host: what the oracle (``plugins/misbehaving/oracle``) has stored as numbers is objects here.

The configuration says whether it fails while it changes that. When it is asked, the path says how.
"""

from dataclasses import dataclass

from wasmill_sdk import (
    U64,
    Answer,
    Context,
    Migration,
    Plugin,
    Query,
    Reader,
    Record,
    RecordError,
    Store,
    export,
    json_of,
    option,
)


@dataclass
class Seen:
    """What is stored for a key."""

    count: int


SEEN_0 = Store("seen", U64)
"""As version 0 had it."""


class Migrating(Plugin):
    """The oracle with another way to store."""

    name = "migrating"
    version = "0.1.0"
    state_version = 1

    @dataclass
    class Config:
        refuse: bool = option(default=False, doc="Fail half-way")

    seen = Store("seen", json_of(Seen), doc="How many records of a key came through")

    def process(self, record: Record, ctx: Context) -> None:
        seen = ctx.get(self.seen, Seen(0))
        ctx.put(self.seen, Seen(seen.count + 1))

    def migrate(self, from_version: int, state: Migration) -> None:
        if from_version != 0:
            raise RecordError("no-version", f"there was no version {from_version}")
        state.rewrite(SEEN_0, self.seen, self._changed)

    def _changed(self, key: bytes, count: int) -> Seen | None:
        # Half of it is done when it fails.
        if self.config.refuse and key.startswith(b"room-2"):
            raise RecordError("no-mood", "not today")
        return Seen(count) if count else None

    def answer(self, query: Query, reader: Reader) -> Answer:
        match query.path:
            case ["seen", key]:
                seen = reader.get(self.seen, key)
                return Answer.not_found("never seen") if seen is None else Answer.json(seen)
            case ["many", *keys]:
                return Answer.json(reader.get_many(self.seen, keys))
            case ["seen-of", transform, key]:
                # What the oracle stores beside it, in the same pipeline.
                return Answer.json(reader.of(transform).get(SEEN_0, key))
            case ["all-of", transform]:
                page = reader.of(transform).scan(SEEN_0, "room-", after="room-1", limit=2)
                return Answer.json({key.decode(): count for key, count in page})
            case ["many-of", transform, *keys]:
                return Answer.json(reader.of(transform).get_many(SEEN_0, keys))
            case ["now"]:
                return Answer.text(str(reader.now())).with_status(299)
            case ["refuse"]:
                raise RecordError("no-mood", "not today")
            case _:
                return Answer.not_found("no such question")


export(Migrating)
