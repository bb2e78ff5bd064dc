// Command migrating is the next state version of `plugins/misbehaving/oracle`, to test the host: what was a
// number is an object now. The configuration says whether it fails while it changes that.
package main

import (
	"fmt"
	"strings"

	"wasmill"
	"wasmill/migration"
	"wasmill/queries"
)

// Seen is what is stored.
type Seen struct {
	Count uint64 `json:"count"`
}

var (
	seen = wasmill.NewKeyed("seen", "How many records of a key came through", wasmill.JSON[Seen]())
	// As version 0 had it.
	seen0 = wasmill.NewKeyed("seen", "", wasmill.U64LE)
)

var definition = wasmill.Define(wasmill.About{
	Name:         "migrating",
	Version:      "0.1.0",
	Doc:          "The oracle with another way to store",
	StateVersion: 1,
	Stores:       []wasmill.Store{seen},
}, New)

// Config is the config table.
type Config struct {
	// Refuse: it fails when half of it is done.
	Refuse bool `json:"refuse"`
}

// Migrating is the plugin.
type Migrating struct{ config Config }

// New makes the plugin.
func New(config Config) (*Migrating, error) { return &Migrating{config}, nil }

// Process counts one record.
func (*Migrating) Process(_ wasmill.Record, ctx *wasmill.Context) error {
	it, _, err := seen.Get(ctx)
	if err != nil {
		return err
	}
	it.Count++
	return seen.Put(ctx, it)
}

// Migrate makes objects of numbers. Version 0 had entries for 0, too.
func (m *Migrating) Migrate(from uint32, state *migration.State) error {
	if from != 0 {
		return wasmill.Errorf("no-version", "there was no version %d", from)
	}
	return migration.Rewrite(state, seen0, seen, func(key []byte, count uint64) (*Seen, error) {
		if m.config.Refuse && strings.HasPrefix(string(key), "room-2") {
			return nil, wasmill.Errorf("no-mood", "not today")
		}
		if count == 0 {
			return nil, nil
		}
		return &Seen{count}, nil
	})
}

// Answer answers `seen/KEY`, `seen-of/TRANSFORM/KEY`, and badly.
func (*Migrating) Answer(query queries.Query, reader queries.Reader) (queries.Answer, error) {
	path := query.Path
	switch {
	case len(path) == 2 && path[0] == "seen":
		return answer(queries.Get(reader, seen, []byte(path[1])))
	case len(path) == 3 && path[0] == "seen-of":
		return answer(queries.Get(reader.Of(path[1]), seen0, []byte(path[2])))
	case len(path) == 1 && path[0] == "all-of":
		transform, _ := query.Parameter("transform")
		found, err := queries.Scan(reader.Of(transform), seen0, []byte("room-"), []byte("room-1"), 2)
		return queries.Text(fmt.Sprint(len(found.Entries), " ", found.More)), err
	case len(path) == 1 && path[0] == "panic":
		panic("asked for it")
	case len(path) == 1 && path[0] == "refuse":
		return queries.Answer{}, wasmill.Errorf("no-mood", "not today")
	}
	return queries.NotFound("no such question"), nil
}

func answer[T any](value T, found bool, err error) (queries.Answer, error) {
	switch {
	case err != nil:
		return queries.Answer{}, err
	case !found:
		return queries.NotFound("never seen"), nil
	}
	return queries.JSON(value)
}

func init() { wasmill.Register(definition) }

func main() {}
