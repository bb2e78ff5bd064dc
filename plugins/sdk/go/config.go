package wasmill

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

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

// readConfig reads a config table into a config type, and finds all that is wrong in it. It is not done by
// the JSON library's reflection, which stops at the first mistake and makes a component 2 MB larger.
func readConfig[C any](text string) (config C, problems Problems) {
	if defaulter, ok := any(&config).(Defaulter); ok {
		defaulter.SetDefaults()
	}
	table := jsontext.Value(strings.TrimSpace(text))
	if len(table) == 0 || table.Kind() == 'n' {
		table = jsontext.Value("{}")
	}
	if !table.IsValid() {
		return config, Problems{{Message: "the config is no JSON"}}
	}
	return config, readValue(table, reflect.ValueOf(&config).Elem(), "")
}

// readValue reads a value that is valid JSON.
func readValue(value jsontext.Value, to reflect.Value, at jsontext.Pointer) Problems {
	wrong := func() Problems {
		return Problems{{string(at), fmt.Sprintf("must be %s, not %s", typeName(to.Type()), valueName(value))}}
	}
	switch own := to.Addr().Interface().(type) {
	case *jsontext.Value:
		*own = value.Clone()
		return nil
	case interface{ UnmarshalJSON(data []byte) error }:
		return problemAt(at, own.UnmarshalJSON(value))
	case encoding.TextUnmarshaler:
		if value.Kind() != '"' {
			return Problems{{string(at), "must be text, not " + valueName(value)}}
		}
		return problemAt(at, own.UnmarshalText([]byte(unquoted(value))))
	}
	kind := value.Kind()
	switch to.Kind() {
	case reflect.Pointer:
		if kind == 'n' {
			to.SetZero()
			return nil
		}
		if to.IsNil() {
			to.Set(reflect.New(to.Type().Elem()))
		}
		return readValue(value, to.Elem(), at)
	case reflect.Interface:
		if to.NumMethod() > 0 {
			return Problems{{string(at), "the plugin's config type cannot be read: " + to.Type().String()}}
		}
		to.Set(reflect.ValueOf(anyValue(value)))
		return nil
	case reflect.Bool:
		if kind != 't' && kind != 'f' {
			return wrong()
		}
		to.SetBool(kind == 't')
	case reflect.String:
		if kind != '"' {
			return wrong()
		}
		to.SetString(unquoted(value))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		number, err := strconv.ParseInt(string(value), 10, to.Type().Bits())
		if err != nil {
			return wrong()
		}
		to.SetInt(number)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		number, err := strconv.ParseUint(string(value), 10, to.Type().Bits())
		if err != nil {
			return wrong()
		}
		to.SetUint(number)
	case reflect.Float32, reflect.Float64:
		number, err := strconv.ParseFloat(string(value), to.Type().Bits())
		if kind != '0' || err != nil {
			return wrong()
		}
		to.SetFloat(number)
	case reflect.Slice:
		if kind != '[' {
			return wrong()
		}
		return readSlice(value, to, at)
	case reflect.Map:
		if kind != '{' || to.Type().Key().Kind() != reflect.String {
			return wrong()
		}
		return readMap(value, to, at)
	case reflect.Struct:
		if kind != '{' {
			return wrong()
		}
		return readStruct(value, to, at)
	default:
		return Problems{{string(at), "the plugin's config type cannot be read: " + to.Type().String()}}
	}
	return nil
}

func readSlice(value jsontext.Value, to reflect.Value, at jsontext.Pointer) (problems Problems) {
	to.Set(reflect.MakeSlice(to.Type(), 0, 0))
	for i, item := range members(value) {
		element := reflect.New(to.Type().Elem()).Elem()
		problems = append(problems, readValue(item.value, element, at.AppendToken(strconv.Itoa(i)))...)
		to.Set(reflect.Append(to, element))
	}
	return problems
}

func readMap(value jsontext.Value, to reflect.Value, at jsontext.Pointer) (problems Problems) {
	to.Set(reflect.MakeMap(to.Type()))
	for _, member := range members(value) {
		element := reflect.New(to.Type().Elem()).Elem()
		problems = append(problems, readValue(member.value, element, at.AppendToken(member.name))...)
		to.SetMapIndex(reflect.ValueOf(member.name).Convert(to.Type().Key()), element)
	}
	return problems
}

func readStruct(value jsontext.Value, to reflect.Value, at jsontext.Pointer) (problems Problems) {
	options := map[string]reflect.StructField{}
	var known []string
	for _, field := range reflect.VisibleFields(to.Type()) {
		if name := optionName(field); name != "" {
			options[name] = field
			known = append(known, "`"+name+"`")
		}
	}
	for _, member := range members(value) {
		field, found := options[member.name]
		place := at.AppendToken(member.name)
		switch {
		case found:
			problems = append(problems, readValue(member.value, to.FieldByIndex(field.Index), place)...)
			delete(options, member.name)
		case len(known) == 0:
			problems = append(problems, Problem{string(place), fmt.Sprintf("unknown option `%s`; there are none", member.name)})
		default:
			problems = append(problems, Problem{string(place),
				fmt.Sprintf("unknown option `%s`; known are %s", member.name, strings.Join(known, ", "))})
		}
	}
	for _, name := range known {
		name = strings.Trim(name, "`")
		if field, left := options[name]; left && field.Tag.Get("wasmill") == "required" {
			problems = append(problems, Problem{string(at.AppendToken(name)), "missing; it is required"})
		}
	}
	return problems
}

// optionName answers what a field is called in the table, "" when it is not there.
func optionName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	switch {
	case !field.IsExported() || field.Anonymous || name == "-":
		return ""
	case name == "":
		return field.Name
	}
	return name
}

func problemAt(at jsontext.Pointer, err error) Problems {
	if err == nil {
		return nil
	}
	return Problems{{string(at), err.Error()}}
}

type member struct {
	name  string
	value jsontext.Value
}

// members answers the members of an object, or the items of an array, of valid JSON.
func members(value jsontext.Value) (all []member) {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(value))
	open, err := decoder.ReadToken()
	for err == nil && decoder.PeekKind() != '}' && decoder.PeekKind() != ']' {
		var member member
		if open.Kind() == '{' {
			var name jsontext.Token
			name, err = decoder.ReadToken()
			member.name = name.String()
		}
		if err == nil {
			member.value, err = decoder.ReadValue()
			member.value = member.value.Clone()
			all = append(all, member)
		}
	}
	return all
}

func unquoted(value jsontext.Value) string {
	text, _ := jsontext.AppendUnquote(nil, value)
	return string(text)
}

// anyValue answers what encoding/json makes of a value for an `any`.
func anyValue(value jsontext.Value) any {
	switch value.Kind() {
	case 't', 'f':
		return value.Kind() == 't'
	case '"':
		return unquoted(value)
	case '0':
		number, _ := strconv.ParseFloat(string(value), 64)
		return number
	case '[':
		items := []any{}
		for _, item := range members(value) {
			items = append(items, anyValue(item.value))
		}
		return items
	case '{':
		table := map[string]any{}
		for _, member := range members(value) {
			table[member.name] = anyValue(member.value)
		}
		return table
	}
	return nil
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("a whole number of %d bits", t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number of %d bits, at least 0", t.Bits())
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	case reflect.Slice, reflect.Array:
		return "an array"
	}
	return "a table"
}

func valueName(value jsontext.Value) string {
	switch value.Kind() {
	case '"':
		return "text"
	case '[':
		return "an array"
	case '{':
		return "a table"
	}
	// null, true, false or a number
	return string(value)
}

// describeJSON says what is wrong in a JSON text, and where. The library words its errors differently from one
// start to the next; what a record's failure says is to be the same on replay.
func describeJSON(err error) string {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("%v at byte %d", syntax.Err, syntax.ByteOffset)
	}
	return "the value is no JSON: it breaks off"
}
