package wasmill

import (
	"bytes"
	"iter"
	"unicode/utf8"
	"unsafe"

	"wasmill/internal/core"
)

// Record is one record, read from its batch without copying: what its methods answer must not be changed,
// and must be copied where it is to be kept after Process.
type Record struct {
	batch *core.Inbound
	index int
}

// Key answers the key, nil when there is none.
func (r Record) Key() []byte { return core.Entry(&r.batch.Keys, r.index) }

// Value answers the value, nil for a tombstone.
func (r Record) Value() []byte { return core.Entry(&r.batch.Values, r.index) }

// KeyText answers the key as text. The errors are `no-key` and `bad-utf8`.
func (r Record) KeyText() (string, error) {
	return keyText(r.Key())
}

// Text answers the value as text. The errors are `no-value` and `bad-utf8`.
func (r Record) Text() (string, error) {
	value, err := r.someValue()
	if err != nil {
		return "", err
	}
	return text("value", value)
}

func (r Record) someValue() ([]byte, error) {
	value := r.Value()
	if value == nil {
		return nil, errNoValue()
	}
	return value, nil
}

// Timestamp answers the milliseconds since 1970 UTC; false when the record has none.
func (r Record) Timestamp() (int64, bool) {
	if r.index >= len(r.batch.Timestamps) {
		return -1, false
	}
	at := r.batch.Timestamps[r.index]
	return at, at >= 0
}

// Input answers by which of [About.Inputs] the record came; 0 for the first.
func (r Record) Input() int {
	if r.index >= len(r.batch.Inputs) {
		return 0
	}
	return int(r.batch.Inputs[r.index])
}

// Partition answers the task's partition.
func (r Record) Partition() uint32 { return r.batch.Partition }

// Headers iterates over the headers in order, when [About.ReadsHeaders]. Names may repeat; a value may be
// nil.
func (r Record) Headers() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		headers := &r.batch.Headers
		start, end := r.headerRange()
		for i := start; i < end; i++ {
			name := core.Entry(&headers.Names, i)
			if !yield(alias(name), core.Entry(&headers.Values, i)) {
				return
			}
		}
	}
}

// Header answers the last header of a name; false when there is none, a nil value when it is null.
func (r Record) Header(name string) ([]byte, bool) {
	headers := &r.batch.Headers
	start, end := r.headerRange()
	for i := end - 1; i >= start; i-- {
		if string(core.Entry(&headers.Names, i)) == name {
			return core.Entry(&headers.Values, i), true
		}
	}
	return nil, false
}

func (r Record) headerRange() (start, end int) {
	ends := r.batch.Headers.Ends
	if r.index >= len(ends) {
		return 0, 0
	}
	if r.index > 0 {
		start = int(ends[r.index-1])
	}
	return start, int(ends[r.index])
}

// Origin is where a record entered the pipeline.
type Origin struct {
	// Topic is the source record's.
	Topic string
	// Partition is the source record's.
	Partition uint32
	// Offset is the source record's.
	Offset int64
}

// Origin answers where the record entered the pipeline, when [About.ReadsOrigins].
func (r Record) Origin() (Origin, bool) {
	origins := &r.batch.Origins
	if r.index >= len(origins.Offsets) {
		return Origin{}, false
	}
	topic := 0
	if r.index < len(origins.TopicIndexes) {
		topic = int(origins.TopicIndexes[r.index])
	}
	if topic >= len(origins.Topics) {
		return Origin{}, false
	}
	partition := r.batch.Partition
	if r.index < len(origins.Partitions) {
		partition = origins.Partitions[r.index]
	}
	return Origin{origins.Topics[topic], partition, origins.Offsets[r.index]}, true
}

func errNoValue() error {
	return Errorf("no-value", "the record has no value")
}

func keyText(key []byte) (string, error) {
	if key == nil {
		return "", errNoKey()
	}
	return text("key", key)
}

func text(what string, data []byte) (string, error) {
	if !utf8.Valid(data) {
		return "", Errorf("bad-utf8", "the %s is no UTF-8: it starts with %q", what, bytes.ToValidUTF8(data[:min(len(data), 32)], []byte("\uFFFD")))
	}
	return alias(data), nil
}

// alias answers the bytes as a string without copying them: they are the batch's and do not change.
func alias(data []byte) string {
	return unsafe.String(unsafe.SliceData(data), len(data))
}
