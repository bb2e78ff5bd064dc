// Package migration is for plugins that change what an earlier state version of them has stored into what this
// one reads, once per partition and before its first record.
//
//	var (
//		seen  = wasmill.NewKeyed("seen", "How many records of a key came through", wasmill.JSON[Seen]())
//		seen0 = wasmill.NewKeyed("seen", "As version 0 had it", wasmill.U64LE)
//	)
//
//	func (*Counter) Migrate(from uint32, state *migration.State) error {
//		return migration.Rewrite(state, seen0, seen, func(_ []byte, count uint64) (*Seen, error) {
//			return &Seen{Count: count}, nil
//		})
//	}
//
// The import makes the component one that migrates, so the plugin must be a [Handler].
package migration

import (
	"fmt"

	"wasmill"
	"wasmill/internal/core"
)

// page is how many entries are read at once.
const page = 1000

// Handler is what a plugin is that imports this package.
type Handler interface {
	wasmill.Plugin
	// Migrate changes the stores of one partition, which were written by the state version `from`, smaller than
	// About.StateVersion. What is stored is committed with the new version, or not at all and then it is called
	// again. With an error or a panic nothing of it counts, and the partition stands still.
	Migrate(from uint32, state *State) error
}

// State is the stores of one partition, to read and to write by the functions of this package. A store of the
// earlier version's type reads what that has written: it has the name of one in About.Stores, and need not be
// listed there itself.
type State struct{ instance core.Instance }

func (s *State) number(store string) (uint32, error) {
	number, found := s.instance.StoreNumber(store)
	if !found {
		return 0, wasmill.Errorf("error", "no store of About.Stores is named `%s`", store)
	}
	return number, nil
}

// Get answers what a store holds under a key; false when it holds nothing. The error is `bad-state`.
func Get[T any](state *State, store wasmill.StoreOf[T], key []byte) (value T, found bool, err error) {
	number, err := state.number(store.Name())
	if err != nil {
		return value, false, err
	}
	data, found := state.instance.Host().Get(number, notNil(key))
	if !found {
		return value, false, nil
	}
	value, err = store.Decode(data)
	return value, err == nil, err
}

// Put stores a value under a key. The error is that of the format.
func Put[T any](state *State, store wasmill.StoreOf[T], key []byte, value T) error {
	number, err := state.number(store.Name())
	if err != nil {
		return err
	}
	data, err := store.Encode(value)
	if err != nil {
		return err
	}
	state.instance.Host().Put(number, notNil(key), data)
	return nil
}

// Remove removes what is stored under a key.
func Remove[T any](state *State, store wasmill.StoreOf[T], key []byte) error {
	number, err := state.number(store.Name())
	if err != nil {
		return err
	}
	state.instance.Host().Remove(number, notNil(key))
	return nil
}

// Rewrite replaces every entry of a store, in the order of the keys' bytes: change is given what the earlier
// version has stored, and answers what this one stores under the same key; nil removes it. The error is that of
// change, or `bad-state` when an entry is not of the earlier type.
func Rewrite[A, B any](state *State, earlier wasmill.StoreOf[A], now wasmill.StoreOf[B],
	change func(key []byte, value A) (*B, error)) error {
	number, err := state.number(earlier.Name())
	if err != nil {
		return err
	}
	var after []byte
	for {
		found := state.instance.Host().Scan(number, nil, after, page)
		for i := range found.Keys.Ends {
			key := core.Entry(&found.Keys, i)
			value, err := earlier.Decode(core.Entry(&found.Values, i))
			if err != nil {
				return err
			}
			changed, err := change(key, value)
			switch {
			case err != nil:
				return err
			case changed == nil:
				err = Remove(state, now, key)
			default:
				err = Put(state, now, key, *changed)
			}
			if err != nil {
				return err
			}
			after = key
		}
		if !found.More || len(found.Keys.Ends) == 0 {
			return nil
		}
	}
}

// notNil: an empty key is one.
func notNil(key []byte) []byte {
	if key == nil {
		return []byte{}
	}
	return key
}

func init() { core.Migrate = migrate }

// migrate lets a plugin change what is stored.
func migrate(instance core.Instance, from uint32) error {
	handler, ok := instance.Plugin().(Handler)
	if !ok {
		return fmt.Errorf("%T has no method `%s`", instance.Plugin(), method)
	}
	return instance.Guard(func() error { return handler.Migrate(from, &State{instance}) })
}

// method is what a plugin must have.
const method = "Migrate(from uint32, state *migration.State) error"
