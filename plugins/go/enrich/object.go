package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// field is one of an object, its value as it was written.
type field struct {
	name  string
	value jsontext.Value
}

// object is a JSON object whose values stay as they were written.
type object struct {
	decoder jsontext.Decoder
	source  bytes.Buffer
	fields  []field
}

// read reads an object. Its values are the text's own, which must stay until the object is written.
func (o *object) read(text []byte) error {
	o.fields = o.fields[:0]
	o.source = *bytes.NewBuffer(text)
	// A name may occur twice.
	o.decoder.Reset(&o.source, jsontext.AllowDuplicateNames(true))
	open, err := o.decoder.ReadToken()
	if err != nil {
		return plain(err)
	}
	if open.Kind() != '{' {
		return errors.New("the value is no JSON object")
	}
	for o.decoder.PeekKind() != '}' {
		name, err := o.decoder.ReadToken()
		if err != nil {
			return plain(err)
		}
		// The token lasts until the next one is read.
		field := field{name: name.String()}
		value, err := o.decoder.ReadValue()
		if err != nil {
			return plain(err)
		}
		end := int(o.decoder.InputOffset())
		field.value = text[end-len(value) : end]
		o.fields = append(o.fields, field)
	}
	if _, err := o.decoder.ReadToken(); err != nil {
		return plain(err)
	}
	if _, err := o.decoder.ReadToken(); err != io.EOF {
		return errors.New("there is more after the JSON object")
	}
	return nil
}

// set replaces the field of this name, or adds it at the end.
func (o *object) set(with field) {
	for i := range o.fields {
		if o.fields[i].name == with.name {
			o.fields[i].value = with.value
			return
		}
	}
	o.fields = append(o.fields, with)
}

func (o *object) appendTo(out []byte) (_ []byte, err error) {
	out = append(out, '{')
	for i, field := range o.fields {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = jsontext.AppendQuote(out, field.name); err != nil {
			return out, err
		}
		out = append(out, ':')
		out = append(out, field.value...)
	}
	return append(out, '}'), nil
}

// plain says where a JSON text breaks off or is wrong, always in the same words.
func plain(err error) error {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%v at byte %d", syntax.Err, syntax.ByteOffset)
	}
	return errors.New("the value is no JSON: it breaks off")
}
