package main

import (
	"errors"
	"testing"

	"wasmill"
	"wasmill/wasmilltest"
)

func TestNumbersBecomeObjects(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	for key, count := range map[string]uint64{"room-1": 7, "room-2": 0, "room-3": 1 << 60} {
		data, err := seen0.Encode(count)
		if err != nil {
			t.Fatal(err)
		}
		plugin.SetState("seen", key, data)
		plugin.SetStateOf("old", "seen", key, data)
	}
	if err := plugin.Migrate(0); err != nil {
		t.Fatal(err)
	}
	if stored := plugin.State("seen"); len(stored) != 2 || string(stored["room-1"]) != `{"count":7}` {
		t.Errorf("got %q", stored)
	}
	var own *wasmill.Error
	if err := plugin.Migrate(1); !errors.As(err, &own) || own.Code != "no-version" {
		t.Errorf("got %v", err)
	}
	for _, path := range []string{"panic", "refuse"} {
		if _, err := plugin.Ask(path); err == nil {
			t.Errorf("%s is answered", path)
		}
	}
	for path, want := range map[string]string{
		"seen/room-3":             `{"count":1152921504606846976}`,
		"seen/room-2":             "never seen",
		"many/room-1/room-2":      `[{"count":7},null]`,
		"many":                    "[]",
		"seen-of/old/room-1":      "7",
		"seen-of/none/room-1":     "null",
		"all-of/old":              `{"room-2":0,"room-3":1152921504606846976}`,
		"all-of/none":             "{}",
		"many-of/old/none/room-1": "[null,7]",
		"now":                     "0",
		"else":                    "no such question",
	} {
		if answer, err := plugin.Ask(path); err != nil || string(answer.Body) != want {
			t.Errorf("%s: got %s, %v; want %s", path, answer.Body, err, want)
		}
	}
}

func TestItRefusesAsConfigured(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{"refuse":true}`)
	data, _ := seen0.Encode(7)
	plugin.SetState("seen", "room-1", data)
	plugin.SetState("seen", "room-2", data)
	var own *wasmill.Error
	if err := plugin.Migrate(0); !errors.As(err, &own) || own.Code != "no-mood" {
		t.Errorf("got %v", err)
	}
	if stored := plugin.State("seen"); string(stored["room-1"]) != string(data) {
		t.Errorf("got %q", stored)
	}
}
