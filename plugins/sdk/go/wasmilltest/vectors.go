package wasmilltest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"wasmill"
	"wasmill/internal/core"
)

// Vectors runs a table of cases, in whole batches, cut ones and one record at a time: one JSON file, in the format of
// Wasmill's plugins/vectors/README.md, which every language's plugins go through.
func Vectors(t *testing.T, definition *wasmill.Definition, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []vectorCase
	if err := json.Unmarshal(data, &cases, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(cases) == 0 {
		t.Fatalf("%s has no cases", file)
	}
	for _, it := range cases {
		t.Run(it.Name, func(t *testing.T) { it.run(t, definition) })
		t.Run(it.Name+", by threes", func(t *testing.T) { it.run(t, definition, BatchSize(3)) })
		t.Run(it.Name+", one by one", func(t *testing.T) { it.run(t, definition, BatchSize(1)) })
	}
}

type vectorCase struct {
	Name     string                            `json:"name"`
	Config   jsontext.Value                    `json:"config"`
	Problems *[]string                         `json:"problems"`
	Lateness int64                             `json:"lateness_ms"`
	Stored   map[string]map[string]vectorBytes `json:"stored"`
	Steps    []vectorStep                      `json:"steps"`
	State    map[string]map[string]vectorBytes `json:"state"`
	Timers   []vectorTimer                     `json:"timers"`
}

type vectorStep struct {
	Records  []vectorRecord  `json:"records"`
	Outputs  []vectorOutput  `json:"outputs"`
	Failures []vectorFailure `json:"failures"`
}

type vectorRecord struct {
	Key       vectorBytes    `json:"key"`
	Value     vectorBytes    `json:"value"`
	Timestamp vectorTime     `json:"timestamp"`
	Headers   []vectorHeader `json:"headers"`
}

type vectorOutput struct {
	Parent    *int           `json:"parent"`
	Timer     string         `json:"timer"`
	Port      string         `json:"port"`
	Key       vectorBytes    `json:"key"`
	Value     vectorBytes    `json:"value"`
	Timestamp vectorTime     `json:"timestamp"`
	Headers   []vectorHeader `json:"headers"`
}

type vectorFailure struct {
	Index *int   `json:"index"`
	Timer string `json:"timer"`
	Code  string `json:"code"`
}

type vectorTimer struct {
	Key   vectorBytes `json:"key"`
	Name  string      `json:"name"`
	Time  int64       `json:"time"`
	Clock string      `json:"clock"`
}

// vectorTime is a timestamp: 0 when left out, -1 for null.
type vectorTime int64

func (v *vectorTime) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*v = -1
		return nil
	}
	return json.Unmarshal(data, (*int64)(v))
}

// vectorBytes are bytes: a string, {"hex": ...}, {"json": ...} or null.
type vectorBytes struct {
	// nil for null, and where json is given.
	bytes  []byte
	json   any
	isJSON bool
	raw    jsontext.Value
}

func (v *vectorBytes) UnmarshalJSON(data []byte) error {
	var text string
	var object struct {
		Hex  *string         `json:"hex"`
		JSON *jsontext.Value `json:"json"`
	}
	switch jsontext.Value(data).Kind() {
	case 'n':
		return nil
	case '"':
		err := json.Unmarshal(data, &text)
		v.bytes = Text(text)
		return err
	}
	if err := json.Unmarshal(data, &object, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	switch {
	case object.Hex != nil:
		decoded, err := hex.DecodeString(*object.Hex)
		v.bytes = Text(string(decoded))
		return err
	case object.JSON != nil:
		v.isJSON, v.raw = true, object.JSON.Clone()
		return json.Unmarshal(*object.JSON, &v.json)
	}
	return errors.New("neither `hex` nor `json`")
}

func (v vectorBytes) given() []byte {
	if v.isJSON {
		return []byte(v.raw)
	}
	return v.bytes
}

// matches answers whether bytes are what a vector says.
func (v vectorBytes) matches(got []byte) bool {
	if !v.isJSON {
		return (v.bytes == nil) == (got == nil) && string(v.bytes) == string(got)
	}
	var parsed any
	return got != nil && json.Unmarshal(got, &parsed) == nil && sameJSON(v.json, parsed)
}

// sameJSON compares parsed values, numbers to the bit.
func sameJSON(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameJSON)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameJSON)
	}
	return reflect.DeepEqual(a, b)
}

func (v vectorBytes) String() string {
	switch {
	case v.isJSON:
		return "json " + string(v.raw)
	case v.bytes == nil:
		return "null"
	}
	return fmt.Sprintf("%q", v.bytes)
}

// vectorHeader is a pair of a name and a value.
type vectorHeader struct {
	name  string
	value vectorBytes
}

func (v *vectorHeader) UnmarshalJSON(data []byte) error {
	var pair []jsontext.Value
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return errors.New("a header is a name and a value")
	}
	if err := json.Unmarshal(pair[0], &v.name); err != nil {
		return err
	}
	return json.Unmarshal(pair[1], &v.value)
}

func (it *vectorCase) run(t *testing.T, definition *wasmill.Definition, options ...Option) {
	config := string(it.Config)
	if config == "" {
		config = "{}"
	}
	plugin, err := Open(definition, config, append(options, Lateness(it.Lateness))...)
	if it.Problems != nil {
		it.checkProblems(t, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	plugin.host.log = t.Logf
	for store, entries := range it.Stored {
		for key, value := range entries {
			if !plugin.SetState(store, key, value.given()) {
				t.Fatalf("the plugin has no store `%s`", store)
			}
		}
	}
	for i, step := range it.Steps {
		var records []Record
		for _, record := range step.Records {
			given := Record{Key: record.Key.given(), Value: record.Value.given(), Timestamp: int64(record.Timestamp)}
			for _, header := range record.Headers {
				given.Headers = append(given.Headers, Header{header.name, header.value.given()})
			}
			records = append(records, given)
		}
		step.check(t, i, plugin.Run(records...))
	}
	it.checkState(t, plugin)
}

func (it *vectorCase) checkProblems(t *testing.T, err error) {
	t.Helper()
	var problems wasmill.Problems
	errors.As(err, &problems)
	var pointers []string
	for _, problem := range problems {
		pointers = append(pointers, problem.Pointer)
	}
	slices.Sort(pointers)
	want := slices.Sorted(slices.Values(*it.Problems))
	if !slices.Equal(pointers, want) {
		t.Errorf("problems at %q, not at %q: %v", pointers, *it.Problems, err)
	}
}

func (s vectorStep) check(t *testing.T, number int, got Result) {
	t.Helper()
	for i := range max(len(got.Outputs), len(s.Outputs)) {
		switch {
		case i >= len(s.Outputs):
			t.Errorf("step %d: one output too many: %s", number, show(got.Outputs[i]))
		case i >= len(got.Outputs):
			t.Errorf("step %d: output %d is missing: %v", number, i, s.Outputs[i])
		case !s.Outputs[i].matches(got.Outputs[i]):
			t.Errorf("step %d: output %d is %s, not %v", number, i, show(got.Outputs[i]), s.Outputs[i])
		}
	}
	same := slices.EqualFunc(got.Failures, s.Failures, func(got Failure, want vectorFailure) bool {
		if want.Index != nil && got.Index != *want.Index {
			return false
		}
		return got.Timer == want.Timer && got.Code == want.Code
	})
	if !same {
		t.Errorf("step %d: the failures are %+v, not %+v", number, got.Failures, s.Failures)
	}
}

func (v vectorOutput) matches(got Output) bool {
	parent := -1
	if v.Parent != nil {
		parent = *v.Parent
	}
	return got.Parent == parent && got.Timer == v.Timer && got.Port == v.Port && v.Key.matches(got.Key) &&
		v.Value.matches(got.Value) && got.Timestamp == int64(v.Timestamp) &&
		slices.EqualFunc(v.Headers, got.Headers, func(want vectorHeader, got Header) bool {
			return want.name == got.Name && want.value.matches(got.Value)
		})
}

func show(o Output) string {
	return fmt.Sprintf("{parent %d, timer %q, port %s, key %q, value %q, timestamp %d, headers %q}",
		o.Parent, o.Timer, o.Port, o.Key, o.Value, o.Timestamp, o.Headers)
}

func (it *vectorCase) checkState(t *testing.T, plugin *Plugin) {
	t.Helper()
	for store := range it.State {
		known := slices.ContainsFunc(plugin.description.Stores, func(spec core.Store) bool { return spec.Name == store })
		if !known {
			t.Errorf("the plugin has no store `%s`", store)
		}
	}
	for i, spec := range plugin.description.Stores {
		got, want := plugin.host.state[i], it.State[spec.Name]
		for key, value := range got {
			if expected, found := want[key]; !found || !expected.matches(value) {
				t.Errorf("store `%s` has %q under %q, not %v", spec.Name, value, key, expected)
			}
		}
		for key, value := range want {
			if _, found := got[key]; !found {
				t.Errorf("store `%s` has nothing under %q, not %v", spec.Name, key, value)
			}
		}
	}
	same := slices.EqualFunc(plugin.Timers(), it.Timers, func(got Timer, want vectorTimer) bool {
		clock := wasmill.EventTime
		if want.Clock == "wall-clock" {
			clock = wasmill.WallClock
		}
		return got.Clock == clock && got.Name == want.Name && got.Time == want.Time && want.Key.matches([]byte(got.Key))
	})
	if !same {
		t.Errorf("the timers are %+v, not %+v", plugin.Timers(), it.Timers)
	}
}
