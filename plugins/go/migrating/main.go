// Command migrating is the next state version of `plugins/misbehaving/oracle`, to test the host: what was a
// number is an object now. The configuration says whether it fails while it changes that.
package main

import (
	"strconv"
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

// Answer answers as the path says.
func (*Migrating) Answer(query queries.Query, reader queries.Reader) (queries.Answer, error) {
	what, rest := "", query.Path
	if len(rest) > 0 {
		what, rest = rest[0], rest[1:]
	}
	switch {
	case what == "seen" && len(rest) == 1:
		it, found, err := queries.Get(reader, seen, []byte(rest[0]))
		if err == nil && !found {
			return queries.NotFound("never seen"), nil
		}
		return asJSON(it, err)
	case what == "many":
		found, err := queries.GetMany(reader, seen, bytes(rest)...)
		return asJSON(pointers(found), err)
	// What the oracle stores beside it, in the same pipeline.
	case what == "seen-of" && len(rest) == 2:
		count, found, err := queries.Get(reader.Of(rest[0]), seen0, []byte(rest[1]))
		if err == nil && !found {
			return queries.JSON[any](nil)
		}
		return asJSON(count, err)
	case what == "all-of" && len(rest) == 1:
		found, err := queries.Scan(reader.Of(rest[0]), seen0, []byte("room-"), []byte("room-1"), 2)
		counts := map[string]uint64{}
		for _, entry := range found.Entries {
			counts[string(entry.Key)] = entry.Value
		}
		return asJSON(counts, err)
	case what == "many-of" && len(rest) > 0:
		found, err := queries.GetMany(reader.Of(rest[0]), seen0, bytes(rest[1:])...)
		return asJSON(pointers(found), err)
	case what == "now":
		return queries.Text(strconv.FormatInt(reader.Now(), 10)).WithStatus(299), nil
	case what == "panic":
		panic("asked for it")
	case what == "refuse":
		return queries.Answer{}, wasmill.Errorf("no-mood", "not today")
	}
	return queries.NotFound("no such question"), nil
}

func asJSON[T any](value T, err error) (queries.Answer, error) {
	if err != nil {
		return queries.Answer{}, err
	}
	return queries.JSON(value)
}

func bytes(texts []string) (all [][]byte) {
	for _, text := range texts {
		all = append(all, []byte(text))
	}
	return all
}

// pointers answers what becomes null where nothing is found.
func pointers[T any](found []queries.Found[T]) []*T {
	all := make([]*T, len(found))
	for i := range found {
		if found[i].Found {
			all[i] = &found[i].Value
		}
	}
	return all
}

func init() { wasmill.Register(definition) }

func main() {}
