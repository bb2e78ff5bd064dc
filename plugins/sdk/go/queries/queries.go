// Package queries is for plugins that answer questions about their state, while records flow:
// GET /v1/pipelines/PIPELINE/query/TRANSFORM/... of the API.
//
//	func (*WordCount) Answer(query queries.Query, reader queries.Reader) (queries.Answer, error) {
//		if len(query.Path) != 2 || query.Path[0] != "count" {
//			return queries.NotFound("ask for count/WORD"), nil
//		}
//		count, _, err := queries.Get(reader, counts, []byte(query.Path[1]))
//		if err != nil {
//			return queries.Answer{}, err
//		}
//		return queries.JSON(count)
//	}
//
// The import makes the component one that answers, so the plugin must be a [Handler].
package queries

import (
	"fmt"
	"strings"

	"wasmill"
	"wasmill/internal/core"
)

// Handler is what a plugin is that imports this package.
type Handler interface {
	wasmill.Plugin
	// Answer answers one question, in an instance that gets no records; query and reader are of no use after
	// it. What the one who asks did wrong is an answer, such as that of NotFound. An error or a panic is the
	// plugin's fault: the one who asks is told so (502).
	Answer(query Query, reader Reader) (Answer, error)
}

// Query is what is asked.
type Query struct {
	// Path has the parts of the path after the transform's name: of `items/7` they are `items` and `7`.
	Path []string
	// Parameters are what stands behind `?`, in order.
	Parameters []Parameter
}

// Parameter is one of a query; names may repeat.
type Parameter struct{ Name, Value string }

// Parameter answers the first parameter of a name; false when there is none.
func (q Query) Parameter(name string) (string, bool) {
	for _, parameter := range q.Parameters {
		if parameter.Name == name {
			return parameter.Value, true
		}
	}
	return "", false
}

// Reader reads stores: what is committed, over all partitions that the process has.
type Reader struct {
	instance core.Instance
	peers    core.Peers
	// The transform whose stores are read, when they are not the plugin's own.
	transform string
	ofPeer    bool
}

// Of answers a reader of the stores of another transform of the pipeline, which are found by their names. To
// read one that does not exist ends the query (502).
func (r Reader) Of(transform string) Reader {
	r.transform, r.ofPeer = strings.ToValidUTF8(transform, "\uFFFD"), true
	return r
}

// Now answers the clock on the wall, in milliseconds since 1970 UTC.
func (r Reader) Now() int64 { return r.instance.Host().Now() }

// number answers the number of a store of the plugin.
func (r Reader) number(store string) (uint32, error) {
	number, found := r.instance.StoreNumber(store)
	if !found {
		return 0, wasmill.Errorf("error", "the store `%s` is not in About.Stores", store)
	}
	return number, nil
}

// Get answers what a store holds under a key; false when it holds nothing. Of a key that several partitions
// have, it is the first one's. The error is `bad-state`.
func Get[T any](reader Reader, store wasmill.StoreOf[T], key []byte) (value T, found bool, err error) {
	if key == nil {
		key = []byte{}
	}
	var data []byte
	if reader.ofPeer {
		data, found = reader.peers.Get(reader.transform, store.Name(), key)
	} else {
		number, err := reader.number(store.Name())
		if err != nil {
			return value, false, err
		}
		data, found = reader.instance.Host().Get(number, key)
	}
	if !found {
		return value, false, nil
	}
	value, err = store.Decode(data)
	return value, err == nil, err
}

// Found is what GetMany answers for a key.
type Found[T any] struct {
	// Value is zero when nothing is found.
	Value T
	// Found: there is a value.
	Found bool
}

// GetMany answers what a store holds under many keys, by one call of the host: one entry per key. The error is
// `bad-state`.
func GetMany[T any](reader Reader, store wasmill.StoreOf[T], keys ...[]byte) ([]Found[T], error) {
	var asked, values core.Column
	for _, key := range keys {
		if key == nil {
			key = []byte{}
		}
		core.Push(&asked, key)
	}
	if reader.ofPeer {
		values = reader.peers.GetMany(reader.transform, store.Name(), asked)
	} else {
		number, err := reader.number(store.Name())
		if err != nil {
			return nil, err
		}
		values = reader.instance.Host().GetMany(number, asked)
	}
	all := make([]Found[T], len(keys))
	for i := range all {
		data := core.Entry(&values, i)
		if data == nil {
			continue
		}
		value, err := store.Decode(data)
		if err != nil {
			return nil, err
		}
		all[i] = Found[T]{value, true}
	}
	return all, nil
}

// Entry is one of a store.
type Entry[T any] struct {
	// Key is not nil.
	Key []byte
	// Value is what is stored under it.
	Value T
}

// Entries are what Scan answers.
type Entries[T any] struct {
	// Entries stand by the bytes of their keys. A key that several partitions have comes once for each.
	Entries []Entry[T]
	// More: there are entries after the last key.
	More bool
}

// Scan answers up to limit entries whose key starts with prefix and comes after `after`, nil for the first. The
// host gives at most 1000 and about 1 MiB, so go by [Entries.More]. The error is `bad-state`.
func Scan[T any](reader Reader, store wasmill.StoreOf[T], prefix, after []byte, limit uint32) (Entries[T], error) {
	var page core.Page
	if reader.ofPeer {
		page = reader.peers.Scan(reader.transform, store.Name(), prefix, after, limit)
	} else {
		number, err := reader.number(store.Name())
		if err != nil {
			return Entries[T]{}, err
		}
		page = reader.instance.Host().Scan(number, prefix, after, limit)
	}
	found := Entries[T]{Entries: make([]Entry[T], len(page.Keys.Ends)), More: page.More}
	for i := range found.Entries {
		value, err := store.Decode(core.Entry(&page.Values, i))
		if err != nil {
			return Entries[T]{}, err
		}
		found.Entries[i] = Entry[T]{core.Entry(&page.Keys, i), value}
	}
	return found, nil
}

func init() { core.Ask = ask }

// ask lets a plugin answer a request of the contract.
func ask(instance core.Instance, peers core.Peers, request core.Request) (response core.Response, err error) {
	handler, ok := instance.Plugin().(Handler)
	if !ok {
		return response, fmt.Errorf("%T has no method `%s`", instance.Plugin(), method)
	}
	query := Query{Path: request.Path}
	for _, parameter := range request.Parameters {
		query.Parameters = append(query.Parameters, Parameter{parameter.F0, parameter.F1})
	}
	err = instance.Guard(func() error {
		answer, err := handler.Answer(query, Reader{instance: instance, peers: peers})
		if err != nil {
			return err
		}
		response, err = answer.response()
		return err
	})
	return response, err
}

// response is the answer in the contract's shape.
func (a Answer) response() (core.Response, error) {
	status := a.Status
	if status == 0 {
		status = 200
	}
	if status < 200 || status > 599 {
		return core.Response{}, wasmill.Errorf("error", "an answer has a status of 200 to 599, not %d", status)
	}
	return core.Response{
		Status:      uint16(status),
		ContentType: strings.ToValidUTF8(a.ContentType, "\uFFFD"),
		Body:        a.Body,
	}, nil
}

// method is what a plugin must have.
const method = "Answer(queries.Query, queries.Reader) (queries.Answer, error)"
