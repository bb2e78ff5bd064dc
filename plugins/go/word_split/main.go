// Command word_split splits text into lower-case words; each leaves with itself as key and value.
//
// A word is a maximal run of Unicode letters, marks and numbers; an apostrophe (`'` or `’`) between letters
// belongs to it. Lower-casing is Unicode's default.
package main

import (
	_ "embed"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"wasmill"
)

//go:embed config.schema.json
var schema string

var definition = wasmill.Define(wasmill.About{
	Name:         "word_split",
	Version:      "0.1.0",
	Doc:          "Splits text into lower-case words",
	Ports:        []wasmill.Port{{Name: "out", Doc: "One record per word, the word as key and value", Rekeys: true}},
	ConfigSchema: schema,
}, New)

// Config is the config table.
type Config struct {
	// Field is where the text is in a JSON value: a JSON Pointer, or the name of a field. None: the value is the
	// text.
	Field *string `json:"field"`
}

// WordSplit is the plugin.
type WordSplit struct {
	// The names and indexes that lead to the text; nil when the value is the text.
	path  []string
	field string
	lower lowerCase
}

// New makes the plugin.
func New(config Config) (*WordSplit, error) {
	plugin := &WordSplit{lower: newLowerCase()}
	switch {
	case config.Field == nil:
	case *config.Field == "":
		return nil, wasmill.Problem{Pointer: "/field", Message: "must not be empty"}
	case strings.HasPrefix(*config.Field, "/"):
		plugin.field = *config.Field
		for name := range jsontext.Pointer(*config.Field).Tokens() {
			plugin.path = append(plugin.path, name)
		}
	default:
		plugin.field, plugin.path = *config.Field, []string{*config.Field}
	}
	return plugin, nil
}

// Process splits one text.
func (w *WordSplit) Process(record wasmill.Record, ctx *wasmill.Context) error {
	// A tombstone holds no words.
	if record.Value() == nil {
		return nil
	}
	text, err := w.text(record)
	if err != nil {
		return err
	}
	for word := range words(text) {
		lower := w.lower.of(word)
		if err := ctx.Emit(lower, wasmill.WithKey(lower)); err != nil {
			return err
		}
	}
	return nil
}

// text answers the text of a record.
func (w *WordSplit) text(record wasmill.Record) (string, error) {
	if w.path == nil {
		return record.Text()
	}
	value, found, err := find(record.Value(), w.path)
	switch {
	case err != nil:
		return "", wasmill.Errorf("bad-json", "%w", err)
	case !found:
		return "", wasmill.Errorf("no-field", "the value has nothing at `%s`", w.field)
	case value.Kind() != '"':
		return "", wasmill.Errorf("not-text", "what is at `%s` is no text", w.field)
	}
	text, err := jsontext.AppendUnquote(nil, value)
	return string(text), err
}

func init() { wasmill.Register(definition) }

func main() {}
