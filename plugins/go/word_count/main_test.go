package main

import (
	"fmt"
	"slices"
	"strings"
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

func TestAnswers(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	var words []wasmilltest.Record
	// More than one page of them.
	for i := range 2500 {
		words = append(words, wasmilltest.Record{Key: wasmilltest.Text(fmt.Sprintf("w%04d", i))})
	}
	for _, word := range []string{"w2400", "w1200", "\"a\"", "\"a\"", "\"a\"", "w2400"} {
		words = append(words, wasmilltest.Record{Key: wasmilltest.Text(word)})
	}
	plugin.Run(words...)
	for _, test := range []struct {
		path, want string
		status     int
	}{
		{`count/"a"`, `{"word":"\"a\"","count":3}`, 200},
		{"count/b", `{"word":"b","count":0}`, 200},
		{"top?n=4", `[{"word":"\"a\"","count":3},{"word":"w2400","count":3},{"word":"w1200","count":2},{"word":"w0000","count":1}]`, 200},
		{"top?n=0", "`n` is a number from 1 to 1000", 400},
		{"top?n=1001", "`n` is a number from 1 to 1000", 400},
		{"top?n=+5", "`n` is a number from 1 to 1000", 400},
		{"top?n=", "`n` is a number from 1 to 1000", 400},
		{"top?n=x", "`n` is a number from 1 to 1000", 400},
		{"", "ask for count/WORD or top?n=10", 404},
		{"top/1", "ask for count/WORD or top?n=10", 404},
	} {
		answer, err := plugin.Ask(test.path)
		if err != nil || answer.Status != test.status || string(answer.Body) != test.want {
			t.Errorf("%s: got %d %s, %v; want %d %s", test.path, answer.Status, answer.Body, err, test.status, test.want)
		}
	}
	if answer, err := plugin.Ask("top"); err != nil || strings.Count(string(answer.Body), "word") != 10 {
		t.Errorf("got %s, %v", answer.Body, err)
	}
	if answer, err := wasmilltest.New(t, definition, `{}`).Ask("top"); err != nil || string(answer.Body) != "[]" {
		t.Errorf("got %s, %v", answer.Body, err)
	}
}

func TestVectors(t *testing.T) {
	wasmilltest.Vectors(t, definition, "../../vectors/word_count.json")
}
