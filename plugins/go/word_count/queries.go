package main

import (
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"wasmill/queries"
)

// counted is a word with its count.
type counted struct {
	word  string
	count uint64
}

const (
	topDefault = 10
	topMax     = 1000
	// How many entries are read at once.
	page = 1000
)

// Answer answers `count/WORD` and `top?n=10`.
func (w *WordCount) Answer(query queries.Query, reader queries.Reader) (queries.Answer, error) {
	switch path := query.Path; {
	case len(path) == 2 && path[0] == "count":
		return count(reader, path[1])
	case len(path) == 1 && path[0] == "top":
		n := topDefault
		if text, given := query.Parameter("n"); given {
			number, err := strconv.ParseUint(text, 10, 16)
			if err != nil || number < 1 || number > topMax {
				return queries.BadRequest("`n` is a number from 1 to " + strconv.Itoa(topMax)), nil
			}
			n = int(number)
		}
		return top(reader, n)
	}
	return queries.NotFound("ask for count/WORD or top?n=10"), nil
}

func count(reader queries.Reader, word string) (queries.Answer, error) {
	count, _, err := queries.Get(reader, counts, []byte(word))
	if err != nil {
		return queries.Answer{}, err
	}
	return asJSON(appendCounted(nil, counted{word, count}))
}

// top reads all words: for vocabularies that are read within the transform's time.
func top(reader queries.Reader, n int) (queries.Answer, error) {
	var best []counted
	var after []byte
	for {
		found, err := queries.Scan(reader, counts, nil, after, page)
		if err != nil {
			return queries.Answer{}, err
		}
		for _, entry := range found.Entries {
			after = entry.Key
			// Behind those with the same count: words come in their order.
			at, _ := slices.BinarySearchFunc(best, entry.Value, func(other counted, count uint64) int {
				if other.count >= count {
					return -1
				}
				return 1
			})
			if at < n {
				best = slices.Insert(best, at, counted{string(entry.Key), entry.Value})
				best = best[:min(len(best), n)]
			}
		}
		if !found.More {
			break
		}
	}
	out, err := []byte{'['}, error(nil)
	for i, one := range best {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = appendCounted(out, one); err != nil {
			return queries.Answer{}, err
		}
	}
	return asJSON(append(out, ']'), nil)
}

// appendCounted appends what the plugin emits of a word.
func appendCounted(to []byte, one counted) ([]byte, error) {
	to = append(to, `{"word":`...)
	to, err := jsontext.AppendQuote(to, one.word)
	if err != nil {
		return to, err
	}
	to = append(to, `,"count":`...)
	to = strconv.AppendUint(to, one.count, 10)
	return append(to, '}'), nil
}

func asJSON(body []byte, err error) (queries.Answer, error) {
	if err != nil {
		return queries.Answer{}, err
	}
	return queries.Bytes("application/json", body), nil
}
