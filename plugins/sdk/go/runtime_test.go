package wasmill

import (
	"fmt"
	"slices"
	"testing"

	"wasmill/internal/core"
)

// countingHost counts the calls that state costs.
type countingHost struct {
	core.Host
	gets, getManys, puts, timers int
	got, put                     int
}

func (h *countingHost) Get(uint32, []byte) ([]byte, bool) { h.gets++; return nil, false }

func (h *countingHost) GetMany(_ uint32, keys core.Column) (values core.Column) {
	h.getManys++
	h.got += len(keys.Ends)
	for range keys.Ends {
		core.Push(&values, nil)
	}
	return values
}

func (h *countingHost) PutMany(_ uint32, keys, _ core.Column) { h.puts++; h.put += len(keys.Ends) }

func (h *countingHost) SetTimers(uint8, core.Column, core.Column, []int64) { h.timers++ }

var (
	total = NewKeyed("total", "", U64LE)
	other = NewShared("other", "", UTF8)
)

type adder struct{}

func (adder) Process(_ Record, ctx *Context) error {
	// A key of another store is not asked for in this one.
	if _, _, err := other.Get(ctx, []byte("elsewhere")); err != nil {
		return err
	}
	sum, _, err := total.Get(ctx)
	if err != nil {
		return err
	}
	if err := total.Put(ctx, sum+1); err != nil {
		return err
	}
	return ctx.SetTimer(EventTime, "t", int64(sum))
}

func (adder) OnTimer(Timer, *Context) error { return nil }

func TestStateCostsOneCallEachWay(t *testing.T) {
	definition := Define(About{Name: "adder", Stores: []Store{total, other}}, func(NoConfig) (adder, error) { return adder{}, nil })
	host := &countingHost{}
	plugin, problems := open(definition, "{}", host)
	if problems != nil {
		t.Fatal(problems)
	}
	for range 2 {
		batch := core.Inbound{Count: 100}
		for i := range 100 {
			core.Push(&batch.Keys, []byte{byte(i % 7)})
		}
		if out := plugin.Process(&batch); len(out.Failures) > 0 || out.Count != 0 {
			t.Fatalf("got %+v", out)
		}
	}
	// Nothing is kept from call to call: the second batch has read again.
	want := countingHost{gets: 2, getManys: 2, got: 14, puts: 2, put: 14, timers: 2}
	if *host != want {
		t.Errorf("got %+v, want %+v", *host, want)
	}
}

// changesHost notes the changes of timers, of which none is set when a call begins.
type changesHost struct {
	core.Host
	changes []string
}

func (h *changesHost) Timer(uint8, []byte, string) (int64, bool) { return 0, false }

func (h *changesHost) SetTimers(clock uint8, keys, names core.Column, times []int64) {
	for i, time := range times {
		h.changes = append(h.changes, fmt.Sprintf("%d %s %s %d", clock, core.Entry(&keys, i), core.Entry(&names, i), time))
	}
}

// moves changes timers as its steps say, one function per record.
type moves struct{ steps []func(ctx *Context) error }

func (m *moves) Process(record Record, ctx *Context) error { return m.steps[record.index](ctx) }

func (m *moves) OnTimer(Timer, *Context) error { return nil }

func TestTheHostGetsEveryChangeOfATimerInOrder(t *testing.T) {
	is := func(ctx *Context, clock Clock, name string, want int64) {
		t.Helper()
		at, set, err := ctx.Timer(clock, name)
		if !set {
			at = cancelled
		}
		if err != nil || at != want {
			t.Errorf("the timer %s is set for %d, not %d (%v)", name, at, want, err)
		}
	}
	plugin := &moves{[]func(ctx *Context) error{
		func(ctx *Context) error {
			is(ctx, EventTime, "t", cancelled)
			if err := ctx.SetTimer(WallClock, "t", 5); err != nil {
				return err
			}
			return ctx.SetTimer(EventTime, "t", 10)
		},
		func(ctx *Context) error {
			is(ctx, EventTime, "t", 10)
			if err := ctx.CancelTimer(EventTime, "t"); err != nil {
				return err
			}
			if err := ctx.SetTimer(EventTime, "t", 20); err != nil {
				return err
			}
			if err := ctx.SetTimer(EventTime, "x", 30); err != nil {
				return err
			}
			is(ctx, EventTime, "t", 20)
			return Errorf("error", "what it changed is taken back")
		},
		func(ctx *Context) error {
			is(ctx, EventTime, "t", 10)
			is(ctx, EventTime, "x", cancelled)
			if err := ctx.SetTimer(EventTime, "t", 40); err != nil {
				return err
			}
			return ctx.CancelTimer(EventTime, "t")
		},
		func(ctx *Context) error {
			is(ctx, EventTime, "t", cancelled)
			is(ctx, WallClock, "t", 5)
			if err := ctx.SetTimer(EventTime, "t", 40); err != nil {
				return err
			}
			panic("what it changed is taken back too")
		},
		func(ctx *Context) error { return ctx.SetTimer(WallClock, "t", 6) },
	}}
	definition := Define(About{Name: "moves"}, func(NoConfig) (*moves, error) { return plugin, nil })
	host := &changesHost{}
	it, problems := open(definition, "{}", host)
	if problems != nil {
		t.Fatal(problems)
	}
	// Nothing is kept from call to call.
	for range 2 {
		batch := core.Inbound{Count: uint32(len(plugin.steps))}
		for range plugin.steps {
			core.Push(&batch.Keys, []byte("k"))
		}
		host.changes = nil
		if out := it.Process(&batch); len(out.Failures) != 2 {
			t.Fatalf("got %+v", out)
		}
		want := []string{"0 k t 10", "0 k t 40", "0 k t -1", "1 k t 5", "1 k t 6"}
		if !slices.Equal(host.changes, want) {
			t.Errorf("got %q, want %q", host.changes, want)
		}
	}
}

// A package that brings exports along asks the plugin for what they call.
func TestPackagesRequireMethods(t *testing.T) {
	definition := Define(About{Name: "adder"}, func(NoConfig) (adder, error) { return adder{}, nil })
	defer func() { core.Requirements = nil }()
	has := true
	core.Requirements = []core.Requirement{{Package: "wasmill/extra", Method: "Extra()", Has: func(plugin any) bool {
		_, isAdder := plugin.(adder)
		return isAdder && has
	}}}
	if _, err := definition.describe(); err != nil {
		t.Error(err)
	}
	has = false
	_, err := definition.describe()
	if want := "`adder` imports wasmill/extra, but wasmill.adder has no method `Extra()`"; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
