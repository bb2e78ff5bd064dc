package wasmill

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"wasmill/internal/core"
)

// Error is why a record failed: what [Errorf] makes.
type Error struct {
	// Code is a short stable word for metrics, such as "bad-json".
	Code string
	// Message is for people.
	Message string
	// Detail is a longer explanation; it may be empty.
	Detail string

	cause error
}

// Error answers the message.
func (e *Error) Error() string { return e.Message }

// Unwrap answers the error that %w named.
func (e *Error) Unwrap() error { return e.cause }

// Errorf makes the error of a record from a short stable word for metrics and a message as that of
// [fmt.Errorf], %w included. Any other error that a plugin answers has the code "error", unless it wraps
// one of these; a syntax error of package jsontext has "bad-json".
func Errorf(code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// failure says in the contract's shape why the record or timer at index failed.
func failure(index uint32, err error) core.Failure {
	code, detail := "error", ""
	var own *Error
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &own):
		code, detail = own.Code, own.Detail
	case errors.As(err, &syntax):
		return core.Failure{Index: index, Code: "bad-json", Message: valid(describeJSON(err))}
	}
	return core.Failure{Index: index, Code: valid(code), Message: valid(err.Error()), Detail: valid(detail)}
}

// valid makes UTF-8 of any text: the contract's strings take nothing else.
func valid(text string) string {
	return strings.ToValidUTF8(text, "\uFFFD")
}

func errNoKey() error {
	return Errorf("no-key", "the record has no key")
}

// Problem is what is wrong in a config table, and where. It is an error, so a plugin's constructor may
// answer it.
type Problem struct {
	// Pointer is a JSON Pointer, "" for the whole.
	Pointer string
	// Message is for people.
	Message string
}

// Error answers the place and the message.
func (p Problem) Error() string {
	if p.Pointer == "" {
		return p.Message
	}
	return p.Pointer + ": " + p.Message
}

// Problems is all that is wrong in a config table. A nil one is no error, see [Problems.Err].
type Problems []Problem

// Error answers the problems, one per line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Err answers the problems as an error, nil when there are none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// problemsOf answers what an error of a constructor says, also when it was wrapped or joined.
func problemsOf(err error) []core.Problem {
	var many Problems
	var one Problem
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []core.Problem
		for _, err := range joined.Unwrap() {
			all = append(all, problemsOf(err)...)
		}
		return all
	}
	switch {
	case errors.As(err, &many):
	case errors.As(err, &one):
		many = Problems{one}
	default:
		many = Problems{{Message: err.Error()}}
	}
	all := make([]core.Problem, len(many))
	for i, problem := range many {
		all[i] = core.Problem{Pointer: valid(problem.Pointer), Message: valid(problem.Message)}
	}
	return all
}
