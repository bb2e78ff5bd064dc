package wasmill

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"wasmill/internal/core"
)

// Level is how important a log message is.
type Level uint8

// The levels, rising.
const (
	// LevelTrace: every step.
	LevelTrace Level = iota
	// LevelDebug: for whoever mends the plugin.
	LevelDebug
	// LevelInfo: good to know.
	LevelInfo
	// LevelWarn: somebody should look.
	LevelWarn
	// LevelError: something failed.
	LevelError
)

// Context is what a record's or a timer's method may do: emit, keep state, set timers, log.
type Context struct {
	definition *Definition
	host       core.Host
	cache      *cache
	outputs    *outputs
	timers     *timerChanges
	metrics    map[*core.MetricSpec]uint32
	// One of both: what is run.
	batch *core.Inbound
	due   *core.DueTimers
	index int
	// The lowest level that the host keeps, once asked for in this call.
	threshold int
}

// Emit emits a value by the default port, nil for a tombstone. Key, timestamp and headers are the record's
// unless an option says otherwise; those of a timer are its key, its time and none. The errors are `no-port`
// and `key-changed`, and `bad-utf8` for a header's name.
func (c *Context) Emit(value []byte, options ...Option) error {
	mark := uint8(core.MarkBytes)
	if value == nil {
		mark = core.MarkNull
	}
	return c.emit(value, mark, options)
}

// EmitText emits text, else as [Context.Emit].
func (c *Context) EmitText(value string, options ...Option) error {
	return c.emit(bytesOf(value), core.MarkBytes, options)
}

// Forward emits the record's own value without a copy, a tombstone as one, else as [Context.Emit]. A timer
// has no value: `no-value`.
func (c *Context) Forward(options ...Option) error {
	if c.due != nil {
		return Errorf("no-value", "a timer has no value to forward")
	}
	return c.emit(nil, core.MarkInherited, options)
}

func (c *Context) emit(value []byte, mark uint8, options []Option) error {
	if len(options) == 0 {
		c.outputs.push(uint32(c.index), 0, value, mark)
		return nil
	}
	// All is checked before anything is appended: an error whose caller goes on leaves no output.
	port := 0
	var key *Option
	for i := range options {
		switch option := &options[i]; option.kind {
		case toPort:
			found, err := c.port(option.name)
			if err != nil {
				return err
			}
			port = found
		case withKey:
			key = option
		case withHeader:
			if !utf8.ValidString(option.name) {
				return Errorf("bad-utf8", "the header's name %q is no UTF-8", option.name)
			}
		}
	}
	spec := &c.definition.about.Ports[port]
	if key != nil && !spec.Rekeys && !sameKey(key.bytes, c.key()) {
		return Errorf("key-changed",
			"port `%s` does not say that it rekeys, so its outputs keep their record's key", spec.Name)
	}
	c.outputs.push(uint32(c.index), uint8(port), value, mark)
	for i := range options {
		switch option := &options[i]; option.kind {
		case withKey:
			c.outputs.setKey(option.bytes)
		case withTimestamp:
			c.outputs.setTimestamp(option.time, c.timestamps())
		case withHeader:
			c.outputs.addHeader(option.name, option.bytes)
		case withoutHeaders:
			c.outputs.replaceHeaders()
		}
	}
	return nil
}

func (c *Context) port(name string) (int, error) {
	for i := range c.definition.about.Ports {
		if c.definition.about.Ports[i].Name == name {
			return i, nil
		}
	}
	return 0, Errorf("no-port", "the plugin declares no port `%s`", name)
}

// sameKey compares keys; no key is not an empty one.
func sameKey(a, b []byte) bool {
	return (a == nil) == (b == nil) && bytes.Equal(a, b)
}

func (c *Context) key() []byte {
	if c.due != nil {
		return core.Entry(&c.due.Keys, c.index)
	}
	return core.Entry(&c.batch.Keys, c.index)
}

func (c *Context) timestamps() []int64 {
	if c.due != nil {
		return c.due.Times
	}
	return c.batch.Timestamps
}

// Logf writes to the pipeline's log, where the level is kept there; arguments as those of [fmt.Sprintf].
func (c *Context) Logf(level Level, format string, args ...any) {
	if c.threshold < 0 {
		c.threshold = int(c.host.LogThreshold())
	}
	if int(level) >= c.threshold {
		c.host.WriteLog(uint8(level), c.index, valid(fmt.Sprintf(format, args...)))
	}
}

// Now answers the wall clock in milliseconds since 1970 UTC, standing still during a call. It is not the same
// when the record is run again. Use it instead of [time.Now], which is not the host's clock.
func (c *Context) Now() int64 { return c.host.Now() }

// StreamTime answers the largest event time that the task has seen up to this record, it included. It is the
// same when the record is run again.
func (c *Context) StreamTime() int64 { return c.host.StreamTime(uint32(c.index)) }

// Watermark answers the stream time less the lateness that the pipeline allows, at least -1. Event-time
// timers up to it have fired. It is the same when the record is run again.
func (c *Context) Watermark() int64 { return c.host.Watermark(uint32(c.index)) }

// Seed answers a seed for random numbers. It is the same when the record is run again. Use it instead of the
// language's own randomness, which is the same in every instance.
func (c *Context) Seed() uint64 { return c.host.Seed(uint32(c.index)) }

// Pipeline answers the pipeline's name.
func (c *Context) Pipeline() string { return c.host.Pipeline() }

// Transform answers the transform's name in the pipeline.
func (c *Context) Transform() string { return c.host.Transform() }
