package wasmill

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// NoConfig is the config of a plugin without options: it refuses any.
type NoConfig struct{}

// Defaulter may be implemented by (a pointer to) a config type: it is called before the table is read
// over it.
type Defaulter interface {
	// SetDefaults gives the options the values that they have when the table does not name them.
	SetDefaults()
}

// readConfig reads a config table into a config type.
func readConfig[C any](text string) (config C, problems Problems) {
	if defaulter, ok := any(&config).(Defaulter); ok {
		defaulter.SetDefaults()
	}
	if trimmed := strings.TrimSpace(text); trimmed == "" || trimmed == "null" {
		text = "{}"
	}
	err := json.Unmarshal([]byte(text), &config, json.RejectUnknownMembers(true))
	if err != nil {
		return config, Problems{problemOf(err, reflect.TypeFor[C]())}
	}
	return config, missing(jsontext.Value(text), reflect.TypeFor[C](), "")
}

// problemOf says what is wrong in a JSON text, and where. config: the type whose options are known, if any.
func problemOf(err error, config reflect.Type) Problem {
	var shape *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &shape):
		pointer := string(shape.JSONPointer)
		switch {
		case errors.Is(shape.Err, json.ErrUnknownName):
			option := shape.JSONPointer.LastToken()
			known := ""
			if shape.JSONPointer.Parent() == "" {
				known = knownOptions(config)
			}
			return Problem{pointer, fmt.Sprintf("unknown option `%s`%s", option, known)}
		case shape.GoType != nil && shape.JSONKind != 0:
			message := fmt.Sprintf("must be %s, not %s", typeName(shape.GoType), kindName(shape))
			return Problem{pointer, message}
		case shape.Err != nil:
			return Problem{pointer, shape.Err.Error()}
		}
		return Problem{pointer, "is not what the plugin can read"}
	case errors.As(err, &syntax):
		return Problem{string(syntax.JSONPointer), fmt.Sprintf("%v at byte %d", syntax.Err, syntax.ByteOffset)}
	}
	return Problem{"", err.Error()}
}

func knownOptions(config reflect.Type) string {
	if config == nil || config.Kind() != reflect.Struct {
		return ""
	}
	var names []string
	for _, field := range reflect.VisibleFields(config) {
		if name := optionName(field); name != "" {
			names = append(names, "`"+name+"`")
		}
	}
	if len(names) == 0 {
		return "; there are no options"
	}
	return "; known are " + strings.Join(names, ", ")
}

// optionName answers what a field is called in the table, "" when it is not there.
func optionName(field reflect.StructField) string {
	tag := field.Tag.Get("json")
	if !field.IsExported() || field.Anonymous || tag == "-" {
		return ""
	}
	name, _, _ := strings.Cut(tag, ",")
	if name == "" {
		return field.Name
	}
	return strings.Trim(name, "'")
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, at least 0"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "a table"
	}
	return t.String()
}

func kindName(err *json.SemanticError) string {
	switch err.JSONKind {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '"':
		return "text"
	case '0':
		if len(err.JSONValue) > 0 {
			return string(err.JSONValue)
		}
		return "such a number"
	case '[':
		return "an array"
	}
	return "a table"
}

// missing finds the options that are tagged `wasmill:"required"` and not there. The table was read
// into the type before, so it has its shape.
func missing(table jsontext.Value, config reflect.Type, at jsontext.Pointer) (problems Problems) {
	for config.Kind() == reflect.Pointer {
		config = config.Elem()
	}
	var options map[string]jsontext.Value
	if config.Kind() != reflect.Struct || json.Unmarshal(table, &options) != nil {
		return nil
	}
	for _, field := range reflect.VisibleFields(config) {
		name := optionName(field)
		if name == "" {
			continue
		}
		place := at.AppendToken(name)
		value, found := options[name]
		switch {
		case found:
			problems = append(problems, missing(value, field.Type, place)...)
		case field.Tag.Get("wasmill") == "required":
			problems = append(problems, Problem{string(place), "missing; it is required"})
		}
	}
	return problems
}
