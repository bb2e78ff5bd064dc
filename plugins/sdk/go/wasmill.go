// Package wasmill is for writing Wasmill plugins in Go: one method per record, typed state, Go errors.
//
//	package main
//
//	import "wasmill"
//
//	var counts = wasmill.NewKeyed("count", "How often each word was seen", wasmill.U64LE)
//
//	var definition = wasmill.Define(wasmill.About{
//		Name:    "word_count",
//		Version: "0.1.0",
//		Ports:   []wasmill.Port{{Name: "out", Doc: "The word's count"}},
//		Stores:  []wasmill.Store{counts},
//	}, New)
//
//	type WordCount struct{}
//
//	func New(wasmill.NoConfig) (*WordCount, error) { return &WordCount{}, nil }
//
//	func (*WordCount) Process(record wasmill.Record, ctx *wasmill.Context) error {
//		count, _, err := counts.Get(ctx)
//		if err != nil {
//			return err
//		}
//		if err := counts.Put(ctx, count+1); err != nil {
//			return err
//		}
//		return ctx.EmitJSON(map[string]any{"word": string(record.Key()), "count": count + 1})
//	}
//
//	func init() { wasmill.Register(definition) }
//
//	func main() {}
//
// A record is atomic: when Process answers an error or panics, what it emitted, stored and set is
// dropped, and the record fails alone. Results must not depend on how records are cut into batches, so
// keep in the plugin's own fields only what comes from the config; state belongs into a store.
package wasmill

import (
	"fmt"
	"reflect"

	"wasmill/internal/core"
)

// Plugin turns records into records. One that also implements [TimerHandler] may set timers; one that has the
// method of package queries answers queries, one that has that of package migration migrates its state.
type Plugin interface {
	// Process runs one record. Record and context are of no use after it.
	Process(record Record, ctx *Context) error
}

// TimerHandler is implemented by a [Plugin] that sets timers.
type TimerHandler interface {
	// OnTimer runs one timer that is due; it is no longer set. An error drops what the call did, as
	// one of Process does.
	OnTimer(timer Timer, ctx *Context) error
}

// Definition is what a plugin says of itself and how it is made: for [Register] and package wasmilltest.
type Definition struct {
	about     About
	timers    bool
	zero      any
	construct func(config string) (Plugin, []core.Problem)
	// What is wrong with the definition: told at `describe`, where a message reaches the author.
	defect error
}

// Define makes a plugin's definition. The constructor is called once per instance, before the first
// record, with the config table read into its type: a struct with `json` tags, whose unknown options and
// wrong types are found, and whose options tagged `wasmill:"required"` must be there (see [Defaulter] for
// defaults). It answers the plugin's own type, or an error: a [Problem] or [Problems] where it can name the
// place.
func Define[C any, P Plugin](about About, constructor func(config C) (P, error)) *Definition {
	definition := &Definition{about: about.finished()}
	var zero P
	definition.zero = zero
	_, definition.timers = definition.zero.(TimerHandler)
	if reflect.TypeFor[P]().Kind() == reflect.Interface {
		definition.defect = fmt.Errorf("the constructor of `%s` must answer its own type, not %s: "+
			"by the type it is known whether the plugin handles timers", about.Name, reflect.TypeFor[P]())
	}
	if err := definition.about.number(); err != nil {
		definition.defect = err
	}
	definition.construct = func(text string) (Plugin, []core.Problem) {
		config, problems := readConfig[C](text)
		if err := problems.Err(); err != nil {
			return nil, problemsOf(err)
		}
		plugin, err := constructor(config)
		if err != nil {
			return nil, problemsOf(err)
		}
		return plugin, nil
	}
	return definition
}

var registered *Definition

// Register makes a definition the component's plugin: call it once, in `init`. `main` stays empty.
func Register(definition *Definition) {
	if registered != nil && registered != definition {
		definition.defect = fmt.Errorf("`%s` and `%s` are both registered; a component is one plugin",
			registered.about.Name, definition.about.Name)
	}
	registered = definition
}

func init() {
	core.Open = func(definition any, config string, host core.Host) (core.Instance, []core.Problem) {
		runtime, problems := open(definition.(*Definition), config, host)
		if runtime == nil {
			return nil, problems
		}
		return runtime, nil
	}
	core.Told = func(err error) string {
		said := failure(0, err)
		return said.Code + ": " + said.Message
	}
	core.Describe = func(definition any) (core.Description, error) {
		return definition.(*Definition).describe()
	}
}
