"""Groups the records of a key into sessions, each closed by a timer after a gap without records."""

from dataclasses import dataclass

from wasmill_sdk import Context, Plugin, Port, Record, RecordError, Store, Timer, export, json_of, option

TIME_MAX = 2**63 - 1

Session = tuple[int, int, int]
"""Start, end and count."""


class Sessions(Plugin):
    """Activity per key, told when there was none for a while."""

    name = "sessions"
    version = "0.1.0"
    ports = [Port("out", '{"key","start","end","count"} when a session ends, with the time of its end')]

    open = Store(
        "open", json_of(list[Session]), doc="[[start, end, count], ...] of the open sessions, by rising start"
    )

    @dataclass
    class Config:
        """The config table."""

        gap_ms: int = option(
            doc="Two records less than this apart, in milliseconds, are of one session.", minimum=1
        )

    config: Config

    def process(self, record: Record, ctx: Context) -> None:
        record.key_text()
        time = record.timestamp
        if time is None:
            raise RecordError("no-timestamp", "the record has no timestamp")
        gap = self.config.gap_ms
        start, end, count = time, time, 1
        apart: list[Session] = []
        for session in ctx.get(self.open, []):
            if session[0] - gap < time < session[1] + gap:
                start, end, count = min(start, session[0]), max(end, session[1]), count + session[2]
            else:
                apart.append(session)
        self.keep(sorted([*apart, (start, end, count)]), ctx)

    def on_timer(self, timer: Timer, ctx: Context) -> None:
        key = timer.key_text()
        gap = self.config.gap_ms
        now = max(ctx.watermark(), timer.time)
        sessions = ctx.get(self.open, [])
        for start, end, count in sessions:
            if ends_at(end, gap) <= now:
                ctx.emit({"key": key, "start": start, "end": end, "count": count}, timestamp=end)
        self.keep([session for session in sessions if ends_at(session[1], gap) > now], ctx)

    def keep(self, sessions: list[Session], ctx: Context) -> None:
        """Stores the open sessions and sets the timer to the first end among them."""
        if not sessions:
            ctx.remove(self.open)
            return
        ctx.put(self.open, sessions)
        # They do not overlap, so the one that starts first ends first.
        ctx.set_timer("close", ends_at(sessions[0][1], self.config.gap_ms))


def ends_at(end: int, gap: int) -> int:
    """The time at which nothing can join a session any more."""
    return min(end + gap, TIME_MAX)


export(Sessions)
