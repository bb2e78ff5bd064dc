package main

import (
	"errors"
	"slices"
	"testing"

	"wasmill"
	"wasmill/wasmilltest"
)

func TestTheTextMayBeAField(t *testing.T) {
	for _, config := range []string{`{"field":"text"}`, `{"field":"/text"}`} {
		plugin := wasmilltest.New(t, definition, config)
		value := func(text string) wasmilltest.Record { return wasmilltest.Record{Value: wasmilltest.Text(text)} }
		run := plugin.Run(value(`{"text":"One TWO"}`), value(`{"txt":"x"}`), value(`{"text":1}`), value("no json"))
		if got, want := run.Values(), []string{"one", "two"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := string(run.Outputs[1].Key); got != "two" {
			t.Errorf("got %q", got)
		}
		if got, want := run.Codes(), []string{"no-field", "not-text", "bad-json"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAMisspeltOptionIsFound(t *testing.T) {
	_, err := wasmilltest.Open(definition, `{"feild":"text"}`)
	var problems wasmill.Problems
	if !errors.As(err, &problems) || problems[0].Pointer != "/feild" {
		t.Errorf("got %v", err)
	}
}

func TestLowerCaseIsUnicodes(t *testing.T) {
	lower := newLowerCase()
	for word, want := range map[string]string{
		"İSTANBUL": "i̇stanbul",
		"ΟΔΟΣ":     "οδος",
		"ΣΑΣ":      "σας",
		"Σ":        "σ",
		"Σ'Α":      "σ'α",
		"ΑΣ'Α":     "ασ'α",
		"Straße":   "straße",
		"ABC":      "abc",
	} {
		if got := string(lower.of(word)); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}

func TestVectors(t *testing.T) {
	wasmilltest.Vectors(t, definition, "../../vectors/word_split.json")
}
