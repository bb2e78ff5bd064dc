// Command sessions tells when a key was active: records whose times are less than a gap apart are one
// session, which is emitted once the watermark says that it has ended.
package main

import (
	"math"
	"slices"

	"wasmill"
)

// The name of the one timer of a key: it stands at the earliest end of an open session.
const closeTimer = "close"

// session is [start, end, count]: an array, as it is stored.
type session [3]int64

func (s session) start() int64 { return s[0] }
func (s session) end() int64   { return s[1] }
func (s session) count() int64 { return s[2] }

var openSessions = wasmill.NewKeyed("open", "The open sessions of a key: [[start, end, count], ...] by rising start",
	wasmill.JSON[[]session]())

var definition = wasmill.Define(wasmill.About{
	Name:    "sessions",
	Version: "0.1.0",
	Doc:     "Sessions of activity by key, each told when it has ended",
	Ports:   []wasmill.Port{{Name: "out", Doc: `{"key","start","end","count"} when a session ends`}},
	Stores:  []wasmill.Store{openSessions},
	ConfigSchema: `{
  "type": "object",
  "properties": {
    "gap_ms": {
      "description": "A session ends when there was no record for so long, in milliseconds.",
      "type": "integer",
      "minimum": 1
    }
  },
  "required": ["gap_ms"],
  "additionalProperties": false
}`,
}, New)

// Config is the config table.
type Config struct {
	// GapMS is how far apart two records of one session are at most, less 1.
	GapMS int64 `json:"gap_ms" wasmill:"required"`
}

// Sessions is the plugin.
type Sessions struct{ gap int64 }

// New makes the plugin.
func New(config Config) (*Sessions, error) {
	if config.GapMS < 1 {
		return nil, wasmill.Problem{Pointer: "/gap_ms", Message: "must be at least 1"}
	}
	return &Sessions{gap: config.GapMS}, nil
}

// Process puts one record into its session.
func (s *Sessions) Process(record wasmill.Record, ctx *wasmill.Context) error {
	if _, err := record.KeyText(); err != nil {
		return err
	}
	at, ok := record.Timestamp()
	if !ok {
		return wasmill.Errorf("no-timestamp", "the record has no timestamp")
	}
	open, _, err := openSessions.Get(ctx)
	if err != nil {
		return err
	}
	return s.store(ctx, s.join(open, at))
}

// join puts a record into the sessions that it is near to, which become one.
func (s *Sessions) join(open []session, at int64) []session {
	joined := session{at, at, 1}
	first := len(open)
	last := 0
	for i, it := range open {
		// No sum overflows: times are not negative.
		if at-it.end() < s.gap && it.start()-at < s.gap {
			first, last = min(first, i), i+1
			joined = session{min(joined.start(), it.start()), max(joined.end(), it.end()), joined.count() + it.count()}
		}
	}
	if last == 0 {
		first, _ = slices.BinarySearchFunc(open, at, func(it session, at int64) int {
			if it.start() < at {
				return -1
			}
			return 1
		})
		last = first
	}
	return slices.Replace(open, first, last, joined)
}

// store stores the open sessions, and sets the timer to the first that will end.
func (s *Sessions) store(ctx *wasmill.Context, open []session) error {
	if len(open) == 0 {
		return openSessions.Remove(ctx)
	}
	if err := openSessions.Put(ctx, open); err != nil {
		return err
	}
	// Sessions do not overlap, so the first to start is the first to end.
	return ctx.SetTimer(wasmill.EventTime, closeTimer, s.ends(open[0]))
}

// ends answers the watermark at which a session has ended.
func (s *Sessions) ends(it session) int64 {
	if it.end() > math.MaxInt64-s.gap {
		return math.MaxInt64
	}
	return it.end() + s.gap
}

// OnTimer emits the sessions that have ended.
func (s *Sessions) OnTimer(timer wasmill.Timer, ctx *wasmill.Context) error {
	key, err := timer.KeyText()
	if err != nil {
		return err
	}
	open, _, err := openSessions.Get(ctx)
	if err != nil {
		return err
	}
	// A jump of the watermark may end more than the one for which the timer was set.
	until := max(ctx.Watermark(), timer.Time())
	ended := 0
	for ; ended < len(open) && s.ends(open[ended]) <= until; ended++ {
		it := open[ended]
		out := output{Key: key, Start: it.start(), End: it.end(), Count: it.count()}
		if err := ctx.EmitJSON(out, wasmill.WithTimestamp(it.end())); err != nil {
			return err
		}
	}
	return s.store(ctx, open[ended:])
}

type output struct {
	Key   string `json:"key"`
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	Count int64  `json:"count"`
}

func init() { wasmill.Register(definition) }

func main() {}
