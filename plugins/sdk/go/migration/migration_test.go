package migration_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"wasmill"
	"wasmill/migration"
	"wasmill/wasmilltest"
)

type total struct {
	Count uint64 `json:"count"`
}

var (
	kinds = wasmill.NewShared("kinds", "Any", wasmill.UTF8)
	seen  = wasmill.NewKeyed("seen", "How many records of a key came through", wasmill.JSON[total]())
	// As version 0 had them.
	seen0 = wasmill.NewKeyed("seen", "", wasmill.U64LE)
	gone  = wasmill.NewKeyed("gone", "", wasmill.U64LE)
)

var definition = wasmill.Define(wasmill.About{
	Name:         "migrating",
	Version:      "1.0.0",
	StateVersion: 1,
	Stores:       []wasmill.Store{kinds, seen},
}, func(wasmill.NoConfig) (*migrating, error) { return &migrating{}, nil })

type migrating struct{}

var _ migration.Handler = &migrating{}

func (*migrating) Process(wasmill.Record, *wasmill.Context) error { return nil }

func (m *migrating) Migrate(from uint32, state *migration.State) error {
	switch from {
	case 0:
		last := ""
		return migration.Rewrite(state, seen0, seen, func(key []byte, count uint64) (*total, error) {
			if string(key) <= last {
				return nil, fmt.Errorf("%q comes after %q", key, last)
			}
			last = string(key)
			switch {
			case count == 0:
				return nil, nil
			case count == 7_777:
				panic("not that one")
			case count == 8_888:
				return nil, wasmill.Errorf("no-mood", "not today")
			}
			return &total{count}, nil
		})
	case 1:
		old, found, err := migration.Get(state, kinds, nil)
		if err != nil || !found {
			return fmt.Errorf("%v %v", found, err)
		}
		if _, found, err := migration.Get(state, kinds, []byte("none")); found || err != nil {
			return fmt.Errorf("%v %v", found, err)
		}
		if err := migration.Put(state, kinds, []byte("new"), old+"!"); err != nil {
			return err
		}
		if err := migration.Put(state, kinds, nil, ""); err != nil {
			return err
		}
		return migration.Remove(state, kinds, []byte("old"))
	case 2:
		return migration.Put(state, kinds, nil, "\xff")
	}
	return migration.Remove(state, gone, nil)
}

func number(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

func TestEveryEntryIsRewritten(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	// More than one page of them.
	for i := range uint64(2500) {
		plugin.SetState("seen", fmt.Sprint("k", i), number(i))
	}
	if err := plugin.Migrate(0); err != nil {
		t.Fatal(err)
	}
	stored := plugin.State("seen")
	// There was an entry for 0, too.
	if len(stored) != 2499 || string(stored["k7"]) != `{"count":7}` || string(stored["k2499"]) != `{"count":2499}` {
		t.Errorf("got %d entries, %q, %q", len(stored), stored["k7"], stored["k2499"])
	}
}

func TestEntriesAreReadAndWritten(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	plugin.SetState("kinds", "", []byte("x"))
	plugin.SetState("kinds", "old", []byte("y"))
	if err := plugin.Migrate(1); err != nil {
		t.Fatal(err)
	}
	stored := plugin.State("kinds")
	if value, found := stored[""]; len(stored) != 2 || string(stored["new"]) != "x!" || !found || len(value) != 0 {
		t.Errorf("got %q", stored)
	}
}

func TestWhatFailsChangesNothing(t *testing.T) {
	for _, test := range []struct {
		from uint32
		last uint64
		want string
	}{
		{0, 7_777, "error: not that one"},
		{0, 8_888, "no-mood: not today"},
		{2, 1, "bad-utf8: the text to store is no UTF-8"},
		{3, 1, "error: no store of About.Stores is named `gone`"},
	} {
		plugin := wasmilltest.New(t, definition, `{}`)
		plugin.SetState("seen", "a", number(1))
		plugin.SetState("seen", "b", number(test.last))
		err := plugin.Migrate(test.from)
		var own *wasmill.Error
		if !errors.As(err, &own) || own.Code+": "+own.Message != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
		if stored := plugin.State("seen"); string(stored["a"]) != string(number(1)) || len(stored) != 2 {
			t.Errorf("it has left %q", stored)
		}
	}
	plugin := wasmilltest.New(t, definition, `{}`)
	plugin.SetState("seen", "a", []byte("x"))
	var own *wasmill.Error
	if err := plugin.Migrate(0); !errors.As(err, &own) || own.Code != "bad-state" {
		t.Errorf("got %v", err)
	}
}
