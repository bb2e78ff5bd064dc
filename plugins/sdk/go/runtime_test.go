package wasmill

import (
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
