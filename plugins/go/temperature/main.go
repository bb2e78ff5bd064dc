// Command temperature tells for each reading of a room the change since the last one, and the running
// average.
//
// Input `{"room","temp","ts"}`, keyed by the room. The average is the sum of all readings in the order of
// their offsets, divided by their count.
package main

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"wasmill"
)

// The last reading, the sum and the count. A count below 2^53 is exact as a float64.
type room struct{ last, sum, count float64 }

// packed writes a room as three little-endian float64.
type packed struct{}

func (packed) Name() string { return "bytes" }

func (packed) Append(to []byte, r room) ([]byte, error) {
	for _, number := range [...]float64{r.last, r.sum, r.count} {
		to = binary.LittleEndian.AppendUint64(to, math.Float64bits(number))
	}
	return to, nil
}

func (packed) Read(data []byte) (room, error) {
	if len(data) != 24 {
		return room{}, wasmill.Errorf("bad-state", "%d bytes, not 24", len(data))
	}
	number := func(i int) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:])) }
	return room{number(0), number(1), number(2)}, nil
}

var rooms = wasmill.NewKeyed("room", "Last reading, sum and count, each as f64", packed{})

var definition = wasmill.Define(wasmill.About{
	Name:    "temperature",
	Version: "0.1.0",
	Doc:     "Change and running average of each room's temperature",
	Ports: []wasmill.Port{{
		Name: "out",
		Doc:  `{"room","temp","delta","avg","count","ts"} for each reading, keyed by the room`,
	}},
	Stores: []wasmill.Store{rooms},
}, New)

// Temperature is the plugin.
type Temperature struct {
	reader reader
	// Where outputs are written, kept for its memory only.
	out []byte
}

// New makes the plugin.
func New(wasmill.NoConfig) (*Temperature, error) { return &Temperature{}, nil }

// Process runs one reading.
func (t *Temperature) Process(record wasmill.Record, ctx *wasmill.Context) error {
	key := record.Key()
	if key == nil {
		return wasmill.Errorf("no-key", "the record has no key")
	}
	value := record.Value()
	if value == nil {
		return wasmill.Errorf("no-value", "the record has no value")
	}
	reading, err := t.reader.read(value)
	if err != nil {
		return wasmill.Errorf("bad-json", "%w", err)
	}
	if string(key) != reading.room {
		return wasmill.Errorf("wrong-key",
			"the record's key is `%s`, but the reading is of room `%s`; give the source `key = \"/room\"`",
			key, reading.room)
	}
	before, known, err := rooms.Get(ctx)
	if err != nil {
		return err
	}
	after := room{reading.temp, before.sum + reading.temp, before.count + 1}
	if math.IsInf(after.sum, 0) || math.IsNaN(after.sum) {
		return wasmill.Errorf("out-of-range", "the sum of the readings is beyond what f64 holds")
	}
	if err := rooms.Put(ctx, after); err != nil {
		return err
	}
	if err := t.write(reading, before, after, known); err != nil {
		return err
	}
	return ctx.Emit(t.out)
}

// write writes the output by hand: it takes a quarter of the time of EmitJSON.
func (t *Temperature) write(reading reading, before, after room, known bool) (err error) {
	out := append(t.out[:0], `{"room":`...)
	if out, err = jsontext.AppendQuote(out, reading.room); err != nil {
		return err
	}
	out = append(out, `,"temp":`...)
	out = strconv.AppendFloat(out, reading.temp, 'g', -1, 64)
	out = append(out, `,"delta":`...)
	if known {
		out = strconv.AppendFloat(out, reading.temp-before.last, 'g', -1, 64)
	} else {
		out = append(out, "null"...)
	}
	out = append(out, `,"avg":`...)
	out = strconv.AppendFloat(out, after.sum/after.count, 'g', -1, 64)
	out = append(out, `,"count":`...)
	out = strconv.AppendUint(out, uint64(after.count), 10)
	out = append(out, `,"ts":`...)
	out = strconv.AppendInt(out, reading.ts, 10)
	t.out = append(out, '}')
	return nil
}

func init() { wasmill.Register(definition) }

func main() {}
