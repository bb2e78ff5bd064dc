// Command enrich adds fields to a JSON object: fixed ones from the config, and the values of headers.
//
// What is there already stays as it was written, in its order; a field of the same name is replaced where it
// stands.
package main

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"wasmill"
)

//go:embed config.schema.json
var schema string

var definition = wasmill.Define(wasmill.About{
	Name:         "enrich",
	Version:      "0.1.0",
	Doc:          "Adds fields from headers and from the config to a JSON value",
	Ports:        []wasmill.Port{{Name: "out", Doc: "The record with the fields added"}},
	ReadsHeaders: true,
	ConfigSchema: schema,
}, New)

// Config is the config table.
type Config struct {
	// Fields are added, with these values.
	Fields map[string]jsontext.Value `json:"fields"`
	// Headers are fields to add, and the headers whose values they get. Names of headers are compared without
	// regard to ASCII case, as HTTP has them; a field whose header is missing is not added.
	Headers map[string]string `json:"headers"`
}

// Enrich is the plugin.
type Enrich struct {
	fixed []field
	// The fields that headers give, by name.
	fromHeaders []source
	// Where outputs are written, kept for their memory only.
	object object
	out    []byte
}

type source struct{ field, header string }

// New makes the plugin.
func New(config Config) (*Enrich, error) {
	var plugin Enrich
	var problems wasmill.Problems
	for _, name := range slices.Sorted(maps.Keys(config.Headers)) {
		if _, twice := config.Fields[name]; twice {
			place := jsontext.Pointer("/headers").AppendToken(name)
			problems = append(problems, wasmill.Problem{Pointer: string(place), Message: "`fields` sets `" + name + "` too"})
		}
		plugin.fromHeaders = append(plugin.fromHeaders, source{name, config.Headers[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(config.Fields)) {
		plugin.fixed = append(plugin.fixed, field{name, config.Fields[name]})
	}
	return &plugin, problems.Err()
}

// Process runs one record.
func (e *Enrich) Process(record wasmill.Record, ctx *wasmill.Context) error {
	value := record.Value()
	// A tombstone stays one.
	if value == nil {
		return ctx.Forward()
	}
	if err := e.object.read(value); err != nil {
		return wasmill.Errorf("bad-json", "%w", err)
	}
	for _, field := range e.fixed {
		e.object.set(field)
	}
	for _, source := range e.fromHeaders {
		text, found := last(record, source.header)
		if !found {
			continue
		}
		value, err := quoted(source.header, text)
		if err != nil {
			return err
		}
		e.object.set(field{source.field, value})
	}
	var err error
	if e.out, err = e.object.appendTo(e.out[:0]); err != nil {
		return err
	}
	return ctx.Emit(e.out)
}

// last answers the last header of a name, compared without regard to ASCII case.
func last(record wasmill.Record, header string) (text []byte, found bool) {
	for name, value := range record.Headers() {
		if sameASCII(name, header) {
			text, found = value, true
		}
	}
	return text, found
}

// sameASCII compares names; strings.EqualFold would take letters beyond ASCII as equal too.
func sameASCII(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// quoted answers a header's value as JSON.
func quoted(header string, text []byte) (jsontext.Value, error) {
	if text == nil {
		return jsontext.Value("null"), nil
	}
	if !utf8.Valid(text) {
		return nil, wasmill.Errorf("bad-utf8", "the header `%s` is no UTF-8: %s", header, strings.ToValidUTF8(string(text), "\uFFFD"))
	}
	return jsontext.AppendQuote(nil, text)
}

func init() { wasmill.Register(definition) }

func main() {}
