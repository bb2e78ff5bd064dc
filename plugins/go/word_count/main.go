// Command word_count counts words: the key is the word; each record raises its count by one and emits the
// new one. Queries ask for the count of a word, and for the words that were seen most.
package main

import "wasmill"

var counts = wasmill.NewKeyed("count", "How often each word was seen", wasmill.U64LE)

var definition = wasmill.Define(wasmill.About{
	Name:    "word_count",
	Version: "0.1.0",
	Doc:     "Counts words by their key",
	Ports:   []wasmill.Port{{Name: "out", Doc: `{"word","count"} for each record, keyed by the word`}},
	Stores:  []wasmill.Store{counts},
}, New)

// WordCount is the plugin.
type WordCount struct {
	// Where outputs are written, kept for its memory only.
	out []byte
}

// New makes the plugin.
func New(wasmill.NoConfig) (*WordCount, error) { return &WordCount{}, nil }

// Process counts one word.
func (w *WordCount) Process(record wasmill.Record, ctx *wasmill.Context) error {
	word, err := record.KeyText()
	if err != nil {
		return err
	}
	count, _, err := counts.Get(ctx)
	if err != nil {
		return err
	}
	count++
	if err := counts.Put(ctx, count); err != nil {
		return err
	}
	// EmitJSON would do the same in one line; this is several times faster.
	if w.out, err = appendCounted(w.out[:0], counted{word, count}); err != nil {
		return err
	}
	return ctx.Emit(w.out)
}

func init() { wasmill.Register(definition) }

func main() {}
