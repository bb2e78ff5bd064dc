package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// reading is what a record holds; its other fields are ignored.
type reading struct {
	room string
	temp float64
	ts   int64
}

// reader reads readings token by token, which takes half the time of Record.JSON: the text is checked as
// strictly, but nothing is looked up by reflection.
type reader struct {
	decoder jsontext.Decoder
	source  bytes.Buffer
}

const (
	sawRoom = 1 << iota
	sawTemp
	sawTS
	sawAll = sawRoom | sawTemp | sawTS
)

func (r *reader) read(value []byte) (reading reading, err error) {
	// The decoder reads a buffer in place, and never writes to it.
	r.source = *bytes.NewBuffer(value)
	// A name that occurs twice is found below where it matters.
	r.decoder.Reset(&r.source, jsontext.AllowDuplicateNames(true))
	open, err := r.decoder.ReadToken()
	if err != nil {
		return reading, plain(err)
	}
	if open.Kind() != '{' {
		return reading, errors.New("the value is no JSON object")
	}
	saw := 0
	for r.decoder.PeekKind() != '}' {
		name, err := r.quoted()
		if err != nil {
			return reading, err
		}
		field := 0
		switch string(name) {
		case "room":
			field, err = sawRoom, r.text(&reading.room)
		case "temp":
			field, err = sawTemp, r.float(&reading.temp)
		case "ts":
			field, err = sawTS, r.whole(&reading.ts)
		default:
			err = plain(r.decoder.SkipValue())
		}
		if err != nil {
			return reading, err
		}
		if saw&field != 0 {
			return reading, fmt.Errorf("the field at byte %d is there twice", r.decoder.InputOffset())
		}
		saw |= field
	}
	if _, err := r.decoder.ReadToken(); err != nil {
		return reading, plain(err)
	}
	if saw != sawAll {
		return reading, errors.New("`room`, `temp` and `ts` are not all there")
	}
	if _, err := r.decoder.ReadToken(); err != io.EOF {
		return reading, errors.New("there is more after the JSON object")
	}
	return reading, nil
}

// text reads a string. What it answers is the record's own memory where that has no escapes.
func (r *reader) text(to *string) error {
	if r.decoder.PeekKind() != '"' {
		if err := r.decoder.SkipValue(); err != nil {
			return plain(err)
		}
		return errors.New("`room` is no text")
	}
	text, err := r.quoted()
	*to = unsafe.String(unsafe.SliceData(text), len(text))
	return err
}

// quoted answers what is between the quotes of the string that comes next.
func (r *reader) quoted() ([]byte, error) {
	value, err := r.decoder.ReadValue()
	if err != nil {
		return nil, plain(err)
	}
	if bytes.IndexByte(value, '\\') >= 0 {
		return jsontext.AppendUnquote(nil, value)
	}
	return value[1 : len(value)-1], nil
}

func (r *reader) float(to *float64) error {
	number, err := r.number("temp")
	if err != nil {
		return err
	}
	if *to, err = strconv.ParseFloat(number, 64); err != nil {
		return fmt.Errorf("`temp` is beyond what f64 holds: %s", number)
	}
	return nil
}

func (r *reader) whole(to *int64) error {
	number, err := r.number("ts")
	if err != nil {
		return err
	}
	if *to, err = strconv.ParseInt(number, 10, 64); err != nil {
		return fmt.Errorf("`ts` is no whole number of 64 bits: %s", number)
	}
	return nil
}

// number answers the digits of the next value, which last until the next one is read.
func (r *reader) number(field string) (string, error) {
	value, err := r.decoder.ReadValue()
	if err != nil {
		return "", plain(err)
	}
	if value.Kind() != '0' {
		return "", fmt.Errorf("`%s` is no number", field)
	}
	return unsafe.String(unsafe.SliceData(value), len(value)), nil
}

// plain says where a JSON text breaks off or is wrong, always in the same words.
func plain(err error) error {
	if err == nil {
		return nil
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%v at byte %d", syntax.Err, syntax.ByteOffset)
	}
	return errors.New("the value is no JSON: it breaks off")
}
