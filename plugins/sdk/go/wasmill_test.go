package wasmill_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"wasmill"
	"wasmill/wasmilltest"
)

// subject does what the value of a record says: one word per step, `;` between them.
type subject struct{}

var (
	visits = wasmill.NewKeyed("visits", "How often", wasmill.S64LE)
	notes  = wasmill.NewShared("notes", "Any", wasmill.UTF8)
	shapes = wasmill.NewShared("shapes", "Any", wasmill.JSON[map[string]int]())
	seen   = wasmill.NewCounter("seen_total", "Steps seen", wasmill.Label{Name: "kind", Value: "any\xff"})
)

var definition = wasmill.Define(wasmill.About{
	Name:         "subject",
	Version:      "1.0.0",
	Ports:        []wasmill.Port{{Name: "out"}, {Name: "moved", Rekeys: true}},
	Stores:       []wasmill.Store{visits, notes, shapes},
	ReadsHeaders: true,
	ReadsOrigins: true,
}, func(wasmill.NoConfig) (subject, error) { return subject{}, nil })

func (s subject) Process(record wasmill.Record, ctx *wasmill.Context) error {
	return steps(string(record.Value()), ctx)
}

func (s subject) OnTimer(timer wasmill.Timer, ctx *wasmill.Context) error {
	if err := ctx.EmitText(fmt.Sprintf("%s %d of %s", timer.Name(), timer.Time(), timer.Key())); err != nil {
		return err
	}
	return steps(timer.Name(), ctx)
}

func steps(text string, ctx *wasmill.Context) error {
	for step := range strings.SplitSeq(text, ";") {
		seen.Add(ctx, 1)
		if err := run(step, ctx); err != nil {
			return err
		}
	}
	return nil
}

func run(step string, ctx *wasmill.Context) error {
	switch step {
	case "visit":
		count, _, err := visits.Get(ctx)
		if err != nil {
			return err
		}
		return visits.Put(ctx, count+1)
	case "leave":
		return visits.Remove(ctx)
	case "tell":
		count, found, err := visits.Get(ctx)
		if err != nil {
			return err
		}
		return ctx.EmitJSON(map[string]any{"found": found, "count": count})
	case "note":
		return notes.Put(ctx, []byte("k"), "noted")
	case "read":
		note, found, err := notes.Get(ctx, []byte("k"))
		if err != nil {
			return err
		}
		return ctx.EmitText(fmt.Sprint(note, found))
	case "shape":
		if _, _, err := shapes.Get(ctx, []byte("s")); err != nil {
			return err
		}
		return shapes.Put(ctx, []byte("s"), map[string]int{"b": 2, "a": 1})
	case "forward":
		return ctx.Forward()
	case "tombstone":
		return ctx.Emit(nil)
	case "dress":
		return ctx.EmitText("x", wasmill.WithTimestamp(77), wasmill.WithHeader("h", []byte("1")),
			wasmill.WithHeader("n", nil), wasmill.WithoutInheritedHeaders())
	case "move":
		return ctx.EmitText("x", wasmill.To("moved"), wasmill.WithKey("elsewhere"))
	case "move wrongly":
		return ctx.EmitText("x", wasmill.WithKey("elsewhere"))
	case "keep key":
		return ctx.EmitText("x", wasmill.WithKey("a"))
	case "no such port":
		return ctx.EmitText("x", wasmill.To("nowhere"))
	case "bad header":
		return ctx.EmitText("x", wasmill.WithHeader("\xff", nil))
	case "timer":
		return ctx.SetTimer(wasmill.EventTime, "t", 100)
	case "cancel":
		return ctx.CancelTimer(wasmill.EventTime, "t")
	case "wall":
		return ctx.SetTimer(wasmill.WallClock, "w", 50)
	case "when":
		at, set, err := ctx.Timer(wasmill.EventTime, "t")
		if err != nil {
			return err
		}
		return ctx.EmitText(fmt.Sprint(at, set))
	case "again":
		return ctx.SetTimer(wasmill.EventTime, "again", 5)
	case "nameless":
		return ctx.SetTimer(wasmill.EventTime, "", 5)
	case "fail":
		return wasmill.Errorf("own-code", "told \xff so")
	case "wrap":
		return fmt.Errorf("while wrapping: %w", wasmill.Errorf("inner", "broken"))
	case "plain":
		return errors.New("plain")
	case "panic":
		panic("out of order")
	case "nil":
		var none map[string]int
		none["a"] = 1
	case "log":
		ctx.Logf(wasmill.LevelInfo, "at %d", ctx.StreamTime())
	}
	return nil
}

func record(key, value string) wasmilltest.Record {
	return wasmilltest.Record{Key: wasmilltest.Text(key), Value: wasmilltest.Text(value)}
}

func expect[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestAFailedRecordLeavesNothing(t *testing.T) {
	for _, end := range []string{"fail", "panic", "nil", "plain"} {
		plugin := wasmilltest.New(t, definition, `{}`)
		result := plugin.Run(
			record("a", "visit;tell"),
			record("a", "visit;note;shape;tell;dress;move;timer;wall;"+end),
			record("b", "visit;leave;"+end),
			record("a", "tell;read;when"),
		)
		expect(t, end, result.Values(), []string{`{"count":1,"found":true}`, `{"count":1,"found":true}`, "false", "0 false"})
		if len(result.Failures) != 2 || result.Failures[0].Index != 1 || result.Failures[1].Index != 2 {
			t.Errorf("%s: got %+v", end, result.Failures)
		}
		if got := len(plugin.State("visits")); got != 1 || len(plugin.State("notes")) != 0 || len(plugin.State("shapes")) != 0 {
			t.Errorf("%s: state was left behind", end)
		}
		if got := plugin.Timers(); len(got) != 0 {
			t.Errorf("%s: timers were left behind: %v", end, got)
		}
		if len(result.Outputs[2].Headers) != 0 || result.Outputs[2].Port != "out" {
			t.Errorf("%s: got %+v", end, result.Outputs[2])
		}
	}
}

func TestFailuresHaveCodes(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	for step, code := range map[string]string{
		"fail": "own-code", "wrap": "inner", "plain": "error", "panic": "error", "nil": "error",
		"move wrongly": "key-changed", "no such port": "no-port", "bad header": "bad-utf8", "nameless": "no-timer-name",
	} {
		expect(t, step, plugin.Run(record("a", step)).Codes(), []string{code})
	}
	for _, step := range []string{"visit", "leave", "timer", "cancel"} {
		result := plugin.Run(wasmilltest.Record{Value: wasmilltest.Text(step)})
		expect(t, step, result.Codes(), []string{"no-key"})
	}
	failures := plugin.Run(record("a", "fail"), record("a", "wrap"), record("a", "panic")).Failures
	if got := failures[0].Message; got != "told \uFFFD so" {
		t.Errorf("got %q", got)
	}
	if got := failures[1].Message; got != "while wrapping: broken" {
		t.Errorf("got %q", got)
	}
	if got := failures[2]; got.Message != "out of order" || !strings.Contains(got.Detail, "wasmill_test.go") {
		t.Errorf("got %+v", got)
	}
}

func TestOutputs(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	dressed := record("a", "forward;dress;tombstone;move;keep key")
	dressed.Timestamp = 9
	result := plugin.Run(record("b", "forward"), dressed)
	expect(t, "failures", result.Codes(), []string{})
	expect(t, "values", result.Values(), []string{"forward", "forward;dress;tombstone;move;keep key", "x", "", "x", "x"})
	var parents []int
	var keys, ports []string
	var times []int64
	for _, output := range result.Outputs {
		parents, times = append(parents, output.Parent), append(times, output.Timestamp)
		keys, ports = append(keys, string(output.Key)), append(ports, output.Port)
	}
	expect(t, "parents", parents, []int{0, 1, 1, 1, 1, 1})
	expect(t, "keys", keys, []string{"b", "a", "a", "a", "elsewhere", "a"})
	expect(t, "ports", ports, []string{"out", "out", "out", "out", "moved", "out"})
	expect(t, "timestamps", times, []int64{0, 9, 77, 9, 9, 9})
	if got := fmt.Sprintf("%q", result.Outputs[2].Headers); got != `[{"h" "1"} {"n" ""}]` || result.Outputs[2].Headers[1].Value != nil {
		t.Errorf("got %s", got)
	}
	if len(result.Outputs[3].Headers) != 0 || result.Outputs[3].Value != nil {
		t.Errorf("got %+v", result.Outputs[3])
	}
	if result.Outputs[4].Value == nil {
		t.Error("text became a tombstone")
	}
}

func TestStateIsKeptFromCallToCall(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	result := plugin.Run(record("a", "visit;visit;tell"), record("b", "tell"), record("a", "leave;tell;visit"))
	expect(t, "values", result.Values(), []string{`{"count":2,"found":true}`, `{"count":0,"found":false}`, `{"count":0,"found":false}`})
	result = plugin.Run(record("a", "tell;note;shape;shape"), record("b", "read"))
	expect(t, "values", result.Values(), []string{`{"count":1,"found":true}`, "notedtrue"})
	if got := string(plugin.State("shapes")["s"]); got != `{"a":1,"b":2}` {
		t.Errorf("got %s", got)
	}
	if got := plugin.Metric("seen_total"); got != 12 {
		t.Errorf("%v steps were counted", got)
	}
}

func TestTimers(t *testing.T) {
	for _, options := range [][]wasmilltest.Option{{}, {wasmilltest.BatchSize(1)}} {
		plugin := wasmilltest.New(t, definition, `{}`, append(options, wasmilltest.Lateness(10))...)
		at := func(key, value string, time int64) wasmilltest.Record {
			it := record(key, value)
			it.Timestamp = time
			return it
		}
		result := plugin.Run(at("a", "timer;when", 1), at("b", "timer;cancel;when", 1), at("c", "timer", 109), at("d", "", 110))
		expect(t, "values", result.Values(), []string{"100 true", "-1 false", "t 100 of a", "t 100 of c"})
		if got := result.Outputs[2]; got.Timer != "t" || got.Parent != -1 || got.Timestamp != 100 || string(got.Key) != "a" {
			t.Errorf("got %+v", got)
		}
		// A timer for a time that has passed fires at once, before the next record.
		result = plugin.Run(at("a", "again", 110), at("b", "tell", 110))
		expect(t, "values", result.Values(), []string{`{"count":0,"found":false}`})
		// Its handler has failed: it set itself for the time that was firing.
		if got := result.Failures; len(got) != 1 || got[0].Timer != "again" || got[0].Code != "error" {
			t.Errorf("got %+v", got)
		}
		result = plugin.Run(at("a", "wall", 110))
		expect(t, "values", plugin.AdvanceWallClock(49).Values(), []string{})
		expect(t, "values", plugin.AdvanceWallClock(50).Values(), []string{"w 50 of a"})
		expect(t, "values", plugin.Advance(1<<40).Values(), []string{})
		if got := plugin.Timers(); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	}
}

func TestUnreadableStateFails(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	plugin.SetState("visits", "a", []byte("three"))
	plugin.SetState("notes", "k", []byte("\xff"))
	plugin.SetState("shapes", "s", []byte(`{"a":"b"}`))
	result := plugin.Run(record("a", "visit"), record("b", "read"), record("b", "shape"), record("b", "visit;tell"))
	expect(t, "codes", result.Codes(), []string{"bad-state", "bad-state", "bad-state"})
	expect(t, "values", result.Values(), []string{`{"count":1,"found":true}`})
	if got := string(plugin.State("visits")["a"]); got != "three" {
		t.Errorf("got %q", got)
	}
}

// careless uses what it has not said that it uses.
type careless struct{ store *wasmill.Keyed[string] }

func (c *careless) Process(record wasmill.Record, ctx *wasmill.Context) error {
	if record.Value() != nil {
		return c.store.Put(ctx, "x")
	}
	return ctx.SetTimer(wasmill.EventTime, "t", 1)
}

func TestWhatIsNotDeclaredFails(t *testing.T) {
	unlisted := wasmill.Define(wasmill.About{Name: "careless"}, func(wasmill.NoConfig) (*careless, error) {
		return &careless{wasmill.NewKeyed("s", "", wasmill.UTF8)}, nil
	})
	result := wasmilltest.New(t, unlisted, `{}`).Run(record("a", ""), wasmilltest.Record{Key: wasmilltest.Text("a")})
	expect(t, "codes", result.Codes(), []string{"error", "error"})
	if got := result.Failures[0].Message; !strings.Contains(got, "About.Stores") {
		t.Errorf("got %s", got)
	}
	if got := result.Failures[1].Message; !strings.Contains(got, "OnTimer") {
		t.Errorf("got %s", got)
	}
}
