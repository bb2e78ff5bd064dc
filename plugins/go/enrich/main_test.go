package main

import (
	"slices"
	"testing"

	"wasmill/wasmilltest"
)

const config = `{"fields":{"site":"x","n":[1]},"headers":{"agent":"User-Agent","host":"Host"}}`

func TestFieldsAreAddedOrReplacedInPlace(t *testing.T) {
	plugin := wasmilltest.New(t, definition, config)
	run := plugin.Run(
		wasmilltest.Record{
			Value: wasmilltest.Text(`{"big":123456789012345678901234567890,"site":1.10, "z":{ }}`),
			Headers: []wasmilltest.Header{
				{Name: "user-agent", Value: wasmilltest.Text("old")},
				{Name: "User-Agent", Value: wasmilltest.Text(`a"b`)},
			},
		},
		wasmilltest.Record{Value: wasmilltest.Text(`{}`), Headers: []wasmilltest.Header{{Name: "host"}}},
		wasmilltest.Record{Key: wasmilltest.Text("k")},
	)
	want := []string{
		`{"big":123456789012345678901234567890,"site":"x","z":{ },"n":[1],"agent":"a\"b"}`,
		`{"n":[1],"site":"x","host":null}`,
		"",
	}
	if got := run.Values(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if run.Outputs[2].Value != nil {
		t.Errorf("a tombstone became %q", run.Outputs[2].Value)
	}
}

func TestVectors(t *testing.T) {
	wasmilltest.Vectors(t, definition, "../../vectors/enrich.json")
}
