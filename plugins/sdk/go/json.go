package wasmill

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
)

// What is here links the JSON library's reflection, which makes a component 2 MB larger: a plugin that uses
// none of [Record.JSON], [Context.EmitJSON] and [JSON] does without.

// JSON reads the value into what v points to, by `json` tags. Names of fields are compared exactly, and fields
// that the type does not have are ignored. A field that is missing stays as it is, one that is null becomes
// zero: use a pointer where that makes a difference. The errors are `no-value` and `bad-json`.
func (r Record) JSON(v any) error {
	value, err := r.someValue()
	if err != nil {
		return err
	}
	return badJSON(json.Unmarshal(value, v))
}

// EmitJSON emits a value as JSON, else as [Context.Emit].
func (c *Context) EmitJSON(value any, options ...Option) error {
	data, err := appendJSON(nil, value)
	if err != nil {
		return err
	}
	return c.Emit(data, options...)
}

// JSON stores values as JSON: the default where no other format is called for.
func JSON[T any]() Format[T] { return jsonFormat[T]{} }

type jsonFormat[T any] struct{}

func (jsonFormat[T]) Name() string { return "json" }

func (jsonFormat[T]) Append(to []byte, value T) ([]byte, error) {
	return appendJSON(to, value)
}

func (jsonFormat[T]) Read(data []byte) (value T, err error) {
	err = badJSON(json.Unmarshal(data, &value))
	return value, err
}

func appendJSON(to []byte, value any) ([]byte, error) {
	data, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		// Not `bad-json`: it is the plugin's value that JSON cannot hold, not the record's.
		return to, Errorf("error", "a value of type %T cannot be written as JSON: %v", value, errors.Unwrap(err))
	}
	return append(to, data...), nil
}

// badJSON answers an error of the JSON library as one of ours.
func badJSON(err error) error {
	var shape *json.SemanticError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &shape):
		return &Error{Code: "bad-json", Message: describeJSON(err), cause: err}
	}
	message := "is not what the plugin reads"
	if shape.GoType != nil && shape.JSONKind != 0 {
		message = fmt.Sprintf("must be %s, not %s", typeName(shape.GoType), kindName(byte(shape.JSONKind)))
	}
	place := "the value"
	if shape.JSONPointer != "" {
		place = "`" + string(shape.JSONPointer) + "`"
	}
	return &Error{Code: "bad-json", Message: place + " " + message, cause: err}
}

func kindName(kind byte) string {
	switch kind {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '"':
		return "text"
	case '0':
		return "such a number"
	case '[':
		return "an array"
	}
	return "a table"
}
