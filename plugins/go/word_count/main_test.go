package main

import (
	"slices"
	"testing"

	"wasmill/wasmilltest"
)

func TestCountsByKey(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	word := func(key string) wasmilltest.Record { return wasmilltest.Record{Key: wasmilltest.Text(key)} }
	run := plugin.Run(word("a"), word("b"), word("a"))
	want := []string{`{"word":"a","count":1}`, `{"word":"b","count":1}`, `{"word":"a","count":2}`}
	if got := run.Values(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	run = plugin.Run(wasmilltest.Record{Value: wasmilltest.Text("a")}, word("a"), word("\xff"))
	if got, want := run.Values(), []string{`{"word":"a","count":3}`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := run.Codes(), []string{"no-key", "bad-utf8"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := string(plugin.State("count")["a"]), "\x03\x00\x00\x00\x00\x00\x00\x00"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVectors(t *testing.T) {
	wasmilltest.Vectors(t, definition, "../../vectors/word_count.json")
}
