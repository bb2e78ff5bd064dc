package wasmill

import (
	"wasmill/internal/core"
)

// Option gives an output more than its value: [To], [WithKey], [WithTimestamp], [WithHeader] and others.
type Option struct {
	kind  optionKind
	name  string
	bytes []byte
	time  int64
}

type optionKind uint8

const (
	toPort optionKind = iota
	withKey
	withTimestamp
	withHeader
	withoutHeaders
)

// To lets an output leave by the port of this name.
func To(port string) Option { return Option{kind: toPort, name: port} }

// WithKey gives an output a key, nil for none. Only a port that rekeys may change it.
func WithKey[K ~string | ~[]byte](key K) Option {
	return Option{kind: withKey, bytes: []byte(key)}
}

// WithTimestamp gives an output a timestamp, in milliseconds since 1970 UTC.
func WithTimestamp(timestamp int64) Option { return Option{kind: withTimestamp, time: timestamp} }

// WithHeader adds a header, a nil value for null. It takes the place of inherited ones of the same name.
func WithHeader(name string, value []byte) Option {
	return Option{kind: withHeader, name: name, bytes: value}
}

// WithoutInheritedHeaders lets an output inherit no headers.
func WithoutInheritedHeaders() Option { return Option{kind: withoutHeaders} }

// outputs are those of a call. Columns stay left out until something in them differs from the parent.
type outputs struct {
	parents    []uint32
	ports      []uint8
	keys       core.Column
	values     core.Column
	timestamps []int64
	headers    core.Headers
	failures   []core.Failure
}

func (o *outputs) reset() {
	o.parents, o.ports, o.timestamps = o.parents[:0], o.ports[:0], o.timestamps[:0]
	core.Clear(&o.keys)
	core.Clear(&o.values)
	core.Clear(&o.headers.Names)
	core.Clear(&o.headers.Values)
	o.headers.Ends, o.headers.Marks = o.headers.Ends[:0], o.headers.Marks[:0]
	o.failures = nil
}

func (o *outputs) len() int { return len(o.parents) }

// push appends an output that has its parent's key, timestamp and headers.
func (o *outputs) push(parent uint32, port uint8, value []byte, mark uint8) {
	count := o.len()
	if mark != core.MarkInherited {
		core.Materialise(&o.values, count)
	}
	if len(o.values.Ends) == count && (mark != core.MarkInherited || count > 0) {
		o.values.Data = append(o.values.Data, value...)
		core.Close(&o.values, mark)
	}
	o.parents = append(o.parents, parent)
	if port != 0 || len(o.ports) > 0 {
		for len(o.ports) < count {
			o.ports = append(o.ports, 0)
		}
		o.ports = append(o.ports, port)
	}
	if len(o.keys.Ends) > 0 {
		core.Close(&o.keys, core.MarkInherited)
	}
}

// setKey gives the output appended last another key than its parent's.
func (o *outputs) setKey(key []byte) {
	last := o.len() - 1
	core.Truncate(&o.keys, last)
	core.Materialise(&o.keys, last)
	core.Push(&o.keys, key)
}

// setTimestamp gives the output appended last a timestamp.
func (o *outputs) setTimestamp(timestamp int64, inherited []int64) {
	o.fillTimestamps(o.len()-1, inherited)
	o.timestamps = append(o.timestamps[:o.len()-1], timestamp)
}

func (o *outputs) fillTimestamps(count int, inherited []int64) {
	for i := len(o.timestamps); i < count; i++ {
		at := int64(-1)
		if parent := int(o.parents[i]); parent < len(inherited) {
			at = inherited[parent]
		}
		o.timestamps = append(o.timestamps, at)
	}
}

// addHeader gives the output appended last one more header.
func (o *outputs) addHeader(name string, value []byte) {
	o.fillHeaders(o.len())
	o.headers.Names.Data = append(o.headers.Names.Data, name...)
	core.Close(&o.headers.Names, core.MarkBytes)
	core.Push(&o.headers.Values, value)
	o.headers.Ends[o.len()-1]++
}

// replaceHeaders takes all inherited headers from the output appended last.
func (o *outputs) replaceHeaders() {
	o.fillHeaders(o.len())
	for len(o.headers.Marks) < o.len() {
		o.headers.Marks = append(o.headers.Marks, 0)
	}
	o.headers.Marks[o.len()-1] = 1
}

func (o *outputs) fillHeaders(count int) {
	for len(o.headers.Ends) < count {
		o.headers.Ends = append(o.headers.Ends, uint32(len(o.headers.Names.Ends)))
	}
}

// truncate drops all outputs but the first count.
func (o *outputs) truncate(count int) {
	if o.len() == count {
		return
	}
	o.parents = o.parents[:count]
	o.ports = o.ports[:min(count, len(o.ports))]
	core.Truncate(&o.keys, count)
	core.Truncate(&o.values, count)
	o.timestamps = o.timestamps[:min(count, len(o.timestamps))]
	o.headers.Ends = o.headers.Ends[:min(count, len(o.headers.Ends))]
	o.headers.Marks = o.headers.Marks[:min(count, len(o.headers.Marks))]
	headers := 0
	if n := len(o.headers.Ends); n > 0 {
		headers = int(o.headers.Ends[n-1])
	}
	core.Truncate(&o.headers.Names, headers)
	core.Truncate(&o.headers.Values, headers)
}

// finish answers the outputs of a call with this many records or timers.
func (o *outputs) finish(records int, inherited []int64) core.Outbound {
	count := o.len()
	if len(o.timestamps) > 0 {
		o.fillTimestamps(count, inherited)
	}
	if len(o.headers.Ends) > 0 {
		o.fillHeaders(count)
	}
	if len(o.headers.Marks) > 0 {
		for len(o.headers.Marks) < count {
			o.headers.Marks = append(o.headers.Marks, 0)
		}
	}
	parents := o.parents
	if count == records && oneEach(parents) {
		parents = nil
	}
	return core.Outbound{
		Count: uint32(count), Parents: parents, Ports: o.ports, Keys: o.keys, Values: o.values,
		Timestamps: o.timestamps, Headers: o.headers, Failures: o.failures,
	}
}

func oneEach(parents []uint32) bool {
	for i, parent := range parents {
		if int(parent) != i {
			return false
		}
	}
	return true
}
