// Package wasmilltest runs a plugin as a plain function, for unit tests with `go test`: records in, outputs
// and failures out, state and timers kept from run to run, without WebAssembly and without a broker.
//
//	func TestCounts(t *testing.T) {
//		plugin := wasmilltest.New(t, definition, `{}`)
//		run := plugin.Run(wasmilltest.Record{Key: wasmilltest.Text("a")})
//		if got := run.Values(); !slices.Equal(got, []string{`{"word":"a","count":1}`}) {
//			t.Errorf("got %q", got)
//		}
//	}
package wasmilltest

import (
	"fmt"
	"strings"
	"testing"

	"wasmill"
	"wasmill/internal/core"
)

// Record is given to a plugin.
type Record struct {
	// Key is nil for none.
	Key []byte
	// Value is nil for a tombstone.
	Value []byte
	// Timestamp is in milliseconds since 1970 UTC, below 0 for none.
	Timestamp int64
	// Input is the place in wasmill.About.Inputs.
	Input int
	// Headers are handed over only when the plugin reads them.
	Headers []Header
}

// Header is one of a record or of an output.
type Header struct {
	// Name is text.
	Name string
	// Value is nil for null.
	Value []byte
}

// Text answers a key or a value, never nil.
func Text(text string) []byte { return append([]byte{}, text...) }

// Output is what a plugin has emitted, with what it inherits filled in; headers are its own only.
type Output struct {
	// Parent is the index of the record that caused it, -1 when a timer did.
	Parent int
	// Timer is the name of the timer that caused it.
	Timer string
	// Port is the port's name.
	Port string
	// Key is nil for none.
	Key []byte
	// Value is nil for a tombstone.
	Value []byte
	// Timestamp is in milliseconds since 1970 UTC, below 0 for none.
	Timestamp int64
	// Headers are those that the plugin gave.
	Headers []Header
}

// Failure is a record or a timer that failed.
type Failure struct {
	// Index is that of the record, -1 for a timer.
	Index int
	// Timer is the name of the timer.
	Timer string
	// Code is the stable word.
	Code string
	// Message is for people.
	Message string
	// Detail is a stack trace or the like.
	Detail string
}

// Result is what came of a run.
type Result struct {
	// Outputs are in order.
	Outputs []Output
	// Failures are in order.
	Failures []Failure
}

// Values answers the outputs' values as text; "" for a tombstone.
func (r Result) Values() []string {
	values := []string{}
	for _, output := range r.Outputs {
		values = append(values, string(output.Value))
	}
	return values
}

// Codes answers the codes of the failures.
func (r Result) Codes() []string {
	codes := []string{}
	for _, failure := range r.Failures {
		codes = append(codes, failure.Code)
	}
	return codes
}

// Option is given to New and Open.
type Option func(*Plugin)

// Lateness is what the pipeline allows, in milliseconds: the watermark is the stream time less it.
func Lateness(ms int64) Option { return func(p *Plugin) { p.lateness = ms } }

// BatchSize is how many records a call has at most; else those of a Run are one call. Results must not depend
// on it.
func BatchSize(records int) Option { return func(p *Plugin) { p.batchSize = max(records, 1) } }

// Plugin is a configured plugin with its state and its timers. The wall clock stands at 0 until AdvanceWallClock.
type Plugin struct {
	description core.Description
	instance    core.Instance
	host        *host
	lateness    int64
	batchSize   int
	offset      int64
}

// New configures a plugin with this config table, as JSON. What is wrong in it fails the test.
func New(t testing.TB, definition *wasmill.Definition, config string, options ...Option) *Plugin {
	t.Helper()
	plugin, err := Open(definition, config, options...)
	if err != nil {
		t.Fatalf("the plugin was not configured: %v", err)
	}
	plugin.host.log = t.Logf
	return plugin
}

// Open configures a plugin with this config table, as JSON. The error is wasmill.Problems.
func Open(definition *wasmill.Definition, config string, options ...Option) (*Plugin, error) {
	description, err := core.Describe(definition)
	if err != nil {
		return nil, wasmill.Problems{{Message: err.Error()}}
	}
	plugin := &Plugin{description: description, host: newHost(len(description.Stores))}
	for _, option := range options {
		option(plugin)
	}
	instance, found := core.Open(definition, config, plugin.host)
	if len(found) > 0 {
		problems := wasmill.Problems{}
		for _, problem := range found {
			problems = append(problems, wasmill.Problem(problem))
		}
		return nil, problems
	}
	plugin.instance = instance
	return plugin, nil
}

// Run runs records. Timers that are due fire as in a pipeline: before the record that brings the watermark to
// their time, or right after the one that set them when it is there already.
func (p *Plugin) Run(records ...Record) Result {
	var result Result
	step := len(records)
	if p.batchSize > 0 {
		step = p.batchSize
	}
	// Where timers may fire between records, each is a call of its own.
	if p.description.SetsTimers {
		step = 1
	}
	for start := 0; start < len(records); start += step {
		end := min(start+step, len(records))
		p.host.startBatch(records[start:end], p.lateness)
		p.fireEventTime(&result)
		p.process(records[start:end], start, &result)
		p.fireEventTime(&result)
	}
	return result
}

// Advance brings the watermark to a time, and fires the event-time timers that are due.
func (p *Plugin) Advance(watermark int64) Result {
	var result Result
	p.host.advance(watermark, p.lateness)
	p.fireEventTime(&result)
	return result
}

// AdvanceWallClock brings the wall clock to a time, and fires the wall-clock timers that are due.
func (p *Plugin) AdvanceWallClock(now int64) Result {
	var result Result
	p.host.now = max(p.host.now, now)
	p.fire(core.WallClock, p.host.now, &result)
	return result
}

// State answers what a store holds, by key; empty when the plugin has no such store.
func (p *Plugin) State(store string) map[string][]byte {
	state := map[string][]byte{}
	for i, spec := range p.description.Stores {
		if spec.Name == store {
			for key, value := range p.host.state[i] {
				state[key] = bytesClone(value)
			}
		}
	}
	return state
}

// SetState puts a value into a store, as an earlier run has left it there; it answers false when the plugin
// has no such store.
func (p *Plugin) SetState(store, key string, value []byte) bool {
	for i, spec := range p.description.Stores {
		if spec.Name == store {
			p.host.state[i][key] = bytesClone(value)
			return true
		}
	}
	return false
}

// Timer is one that is set.
type Timer struct {
	// Clock is which time it waits for.
	Clock wasmill.Clock
	// Key and Name are what it is known by.
	Key, Name string
	// Time is when it fires.
	Time int64
}

// Timers answers those that are set, in the order in which they fire.
func (p *Plugin) Timers() []Timer { return p.host.sortedTimers() }

// Metric answers the value of a counter or gauge, or the sum of what a histogram has observed.
func (p *Plugin) Metric(name string) float64 { return p.host.metric(name) }

func (p *Plugin) fireEventTime(result *Result) { p.fire(core.EventTime, p.host.watermark, result) }

// roundsMax is after how many rounds of timers a plugin is taken to set them for ever.
const roundsMax = 1_000_000

// fire fires timers, also those that are set by what fires, until none is due.
func (p *Plugin) fire(clock uint8, until int64, result *Result) {
	for rounds := 0; ; rounds++ {
		due := p.host.takeDue(clock, until)
		if due.Count == 0 {
			return
		}
		if rounds == roundsMax {
			panic(fmt.Sprintf("the timer `%s` sets timers that are due at once, again and again", core.Entry(&due.Names, 0)))
		}
		p.host.startTimers()
		out := p.instance.OnTimers(&due)
		p.collect(&out, &core.Inbound{Keys: due.Keys, Timestamps: due.Times}, func(parent uint32) (int, string) {
			return -1, strings.Clone(string(core.Entry(&due.Names, int(parent))))
		}, result)
	}
}

func (p *Plugin) process(records []Record, first int, result *Result) {
	batch := p.batch(records)
	out := p.instance.Process(&batch)
	p.collect(&out, &batch, func(parent uint32) (int, string) { return first + int(parent), "" }, result)
}

func (p *Plugin) collect(out *core.Outbound, batch *core.Inbound, cause func(uint32) (int, string), result *Result) {
	for i := range int(out.Count) {
		parent := uint32(i)
		if len(out.Parents) > 0 {
			parent = out.Parents[i]
		}
		output := Output{
			Port:      p.description.Ports[at(out.Ports, i, 0)].Name,
			Key:       inherited(&out.Keys, i, &batch.Keys, int(parent)),
			Value:     inherited(&out.Values, i, &batch.Values, int(parent)),
			Timestamp: at(out.Timestamps, i, at(batch.Timestamps, int(parent), -1)),
		}
		output.Parent, output.Timer = cause(parent)
		start := 0
		if i > 0 {
			start = int(at(out.Headers.Ends, i-1, 0))
		}
		for h := start; h < int(at(out.Headers.Ends, i, 0)); h++ {
			output.Headers = append(output.Headers, Header{
				Name:  string(core.Entry(&out.Headers.Names, h)),
				Value: bytesClone(core.Entry(&out.Headers.Values, h)),
			})
		}
		result.Outputs = append(result.Outputs, output)
	}
	for _, failed := range out.Failures {
		failure := Failure{Code: failed.Code, Message: failed.Message, Detail: failed.Detail}
		failure.Index, failure.Timer = cause(failed.Index)
		result.Failures = append(result.Failures, failure)
	}
}

func at[T any](column []T, i int, left T) T {
	if i < len(column) {
		return column[i]
	}
	return left
}

func inherited(own *core.Column, i int, from *core.Column, parent int) []byte {
	if len(own.Ends) == 0 || at(own.Marks, i, core.MarkBytes) == core.MarkInherited {
		return bytesClone(core.Entry(from, parent))
	}
	return bytesClone(core.Entry(own, i))
}

// bytesClone copies bytes; nil stays nil, and empty stays empty.
func bytesClone(data []byte) []byte {
	if data == nil {
		return nil
	}
	return append([]byte{}, data...)
}

// batch lays records out as the host does.
func (p *Plugin) batch(records []Record) core.Inbound {
	batch := core.Inbound{Count: uint32(len(records))}
	for _, record := range records {
		core.Push(&batch.Keys, record.Key)
		core.Push(&batch.Values, record.Value)
		batch.Timestamps = append(batch.Timestamps, max(record.Timestamp, -1))
		batch.Inputs = append(batch.Inputs, uint8(record.Input))
		if p.description.ReadsHeaders {
			for _, header := range record.Headers {
				core.Push(&batch.Headers.Names, Text(header.Name))
				core.Push(&batch.Headers.Values, header.Value)
			}
			batch.Headers.Ends = append(batch.Headers.Ends, uint32(len(batch.Headers.Names.Ends)))
		}
		if p.description.ReadsOrigins {
			batch.Origins.Topics = []string{"test"}
			batch.Origins.Offsets = append(batch.Origins.Offsets, p.offset)
		}
		p.offset++
	}
	return batch
}
