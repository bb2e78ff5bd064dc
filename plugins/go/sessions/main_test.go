package main

import (
	"slices"
	"testing"

	"wasmill/wasmilltest"
)

func TestASessionEndsAfterTheGap(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{"gap_ms":10}`, wasmilltest.Lateness(5))
	at := func(key string, timestamp int64) wasmilltest.Record {
		return wasmilltest.Record{Key: wasmilltest.Text(key), Timestamp: timestamp}
	}
	// 3 and 13 are two sessions until 8 joins them.
	run := plugin.Run(at("a", 3), at("a", 13), at("b", 4), at("a", 8))
	if len(run.Outputs) != 0 || len(run.Failures) != 0 {
		t.Errorf("nothing has ended yet, but got %+v", run)
	}
	if got, want := string(plugin.State("open")["a"]), "[[3,13,3]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// The watermark is 18: 4 + 10 has passed, 13 + 10 has not.
	run = plugin.Run(at("c", 23))
	if got, want := run.Values(), []string{`{"key":"b","start":4,"end":4,"count":1}`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	run = plugin.Advance(1000)
	want := []string{`{"key":"a","start":3,"end":13,"count":3}`, `{"key":"c","start":23,"end":23,"count":1}`}
	if got := run.Values(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if run.Outputs[0].Timestamp != 13 || string(run.Outputs[0].Key) != "a" {
		t.Errorf("got %+v", run.Outputs[0])
	}
	if len(plugin.State("open")) != 0 || len(plugin.Timers()) != 0 {
		t.Errorf("left behind: %v, %v", plugin.State("open"), plugin.Timers())
	}
}

func TestTheGapIsNeeded(t *testing.T) {
	for _, config := range []string{`{}`, `{"gap_ms":0}`, `{"gap_ms":"1"}`, `{"gap_ms":1.5}`, `{"gap_ms":-1}`} {
		_, err := wasmilltest.Open(definition, config)
		if err == nil {
			t.Errorf("%s: no problem", config)
			continue
		}
		if got := err.Error(); got[:min(len(got), 9)] != "/gap_ms: " {
			t.Errorf("%s: %s", config, got)
		}
	}
}

func TestVectors(t *testing.T) {
	wasmilltest.Vectors(t, definition, "../../vectors/sessions.json")
}
