package main

import (
	"fmt"
	"slices"
	"testing"

	"wasmill/wasmilltest"
)

func record(key, room string, temp string) wasmilltest.Record {
	value := fmt.Sprintf(`{"room":%q,"temp":%s,"ts":7,"more":[{"room":1}]}`, room, temp)
	return wasmilltest.Record{Key: wasmilltest.Text(key), Value: wasmilltest.Text(value)}
}

func TestChangeAndAverage(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	run := plugin.Run(record("a", "a", "20.0"), record("b", "b", "1.5"), record("b", "a", "21"), record("a", "a", "22"))
	want := []string{
		`{"room":"a","temp":20,"delta":null,"avg":20,"count":1,"ts":7}`,
		`{"room":"b","temp":1.5,"delta":null,"avg":1.5,"count":1,"ts":7}`,
		`{"room":"a","temp":22,"delta":2,"avg":21,"count":2,"ts":7}`,
	}
	if got := run.Values(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := run.Codes(), []string{"wrong-key"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatIsNoReadingFails(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	for value, code := range map[string]string{
		`{"room":"a","temp":1,"ts":1}`:                       "",
		` { "ts" : 1 , "temp" : -1e2 , "room" : "\u0061" } `: "",
		`{"room":"a","temp":1,"ts":1,"x":1,"x":2}`:           "",
		``:                                        "bad-json",
		`[]`:                                      "bad-json",
		`{}`:                                      "bad-json",
		`{"room":"a","temp":1,"ts":1`:             "bad-json",
		`{"room":"a","temp":1,"ts":1} 1`:          "bad-json",
		`{"room":"a","temp":1,"ts":1,"ts":1}`:     "bad-json",
		`{"room":"a","temp":1,"ts":1.0}`:          "bad-json",
		`{"room":"a","temp":1,"ts":1e3}`:          "bad-json",
		`{"room":"a","temp":"1","ts":1}`:          "bad-json",
		`{"room":"a","temp":null,"ts":1}`:         "bad-json",
		`{"room":"a","temp":1e999,"ts":1}`:        "bad-json",
		`{"Room":"a","temp":1,"ts":1}`:            "bad-json",
		`{"room":7,"temp":1,"ts":1}`:              "bad-json",
		"{\"room\":\"\xff\",\"temp\":1,\"ts\":1}": "bad-json",
		`{"room":"b","temp":1,"ts":1}`:            "wrong-key",
		`{"room":"a","temp":1.7e308,"ts":1}`:      "",
	} {
		want := []string{}
		if code != "" {
			want = append(want, code)
		}
		run := plugin.Run(wasmilltest.Record{Key: wasmilltest.Text("a"), Value: wasmilltest.Text(value)})
		if got := run.Codes(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", value, got, want)
		}
	}
	run := plugin.Run(wasmilltest.Record{}, wasmilltest.Record{Key: wasmilltest.Text("a")}, record("a", "a", "1.7e308"))
	if got, want := run.Codes(), []string{"no-key", "no-value", "out-of-range"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVectors(t *testing.T) {
	wasmilltest.Vectors(t, definition, "../../vectors/temperature.json")
}

func BenchmarkProcess(b *testing.B) {
	plugin := wasmilltest.New(b, definition, `{}`)
	one := record("a", "a", "21.75")
	for b.Loop() {
		plugin.Run(one)
	}
}
