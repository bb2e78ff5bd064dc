package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// find answers what is at a path in a JSON text, all of which is checked. Of a name that occurs twice the last
// one counts.
func find(text []byte, path []string) (value jsontext.Value, found bool, err error) {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
	value, found, err = at(decoder, path)
	if err != nil {
		return nil, false, plain(err)
	}
	if _, err := decoder.ReadToken(); err != io.EOF {
		return nil, false, errors.New("there is more after the JSON value")
	}
	return value, found, nil
}

// at reads one value, and answers what is at the path in it.
func at(decoder *jsontext.Decoder, path []string) (value jsontext.Value, found bool, err error) {
	kind := decoder.PeekKind()
	switch {
	case len(path) == 0:
		value, err = decoder.ReadValue()
		return value.Clone(), err == nil, err
	case kind != '{' && kind != '[':
		return nil, false, decoder.SkipValue()
	}
	if _, err := decoder.ReadToken(); err != nil {
		return nil, false, err
	}
	for index := 0; decoder.PeekKind() != '}' && decoder.PeekKind() != ']'; index++ {
		here := strconv.Itoa(index)
		if kind == '{' {
			name, err := decoder.ReadToken()
			if err != nil {
				return nil, false, err
			}
			here = name.String()
		}
		if here != path[0] {
			err = decoder.SkipValue()
		} else {
			value, found, err = at(decoder, path[1:])
		}
		if err != nil {
			return nil, false, err
		}
	}
	_, err = decoder.ReadToken()
	return value, found, err
}

// plain says where a JSON text breaks off or is wrong, always in the same words.
func plain(err error) error {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%v at byte %d", syntax.Err, syntax.ByteOffset)
	}
	return errors.New("the value is no JSON: it breaks off")
}
