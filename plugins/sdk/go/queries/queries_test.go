package queries_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"wasmill"
	"wasmill/queries"
	"wasmill/wasmilltest"
)

var (
	seen   = wasmill.NewKeyed("seen", "How many records of a key came through", wasmill.U64LE)
	notes  = wasmill.NewShared("notes", "Any", wasmill.UTF8)
	absent = wasmill.NewKeyed("absent", "Not listed", wasmill.U64LE)
)

var definition = wasmill.Define(wasmill.About{
	Name:    "oracle",
	Version: "1.0.0",
	Stores:  []wasmill.Store{notes, seen},
}, func(wasmill.NoConfig) (oracle, error) { return oracle{}, nil })

// oracle answers what the path says.
type oracle struct{}

var _ queries.Handler = oracle{}

func (oracle) Process(_ wasmill.Record, ctx *wasmill.Context) error {
	count, _, err := seen.Get(ctx)
	if err != nil {
		return err
	}
	return seen.Put(ctx, count+1)
}

func (oracle) Answer(query queries.Query, reader queries.Reader) (queries.Answer, error) {
	if transform, found := query.Parameter("of"); found {
		reader = reader.Of(transform)
	}
	none := queries.Answer{}
	switch strings.Join(query.Path[:min(1, len(query.Path))], "") {
	case "":
		return queries.JSON(map[string]any{"parameters": query.Parameters, "now": reader.Now()})
	case "seen":
		count, found, err := queries.Get(reader, seen, []byte(query.Path[1]))
		switch {
		case err != nil:
			return none, err
		case !found:
			return queries.NotFound("never seen"), nil
		}
		return queries.Text(strconv.FormatUint(count, 10)), nil
	case "many":
		var keys [][]byte
		for _, key := range query.Path[1:] {
			keys = append(keys, []byte(key))
		}
		found, err := queries.GetMany(reader, seen, keys...)
		return queries.Text(fmt.Sprint(found)), err
	case "all":
		prefix, _ := query.Parameter("prefix")
		var after []byte
		if text, found := query.Parameter("after"); found {
			after = []byte(text)
		}
		limit, _ := query.Parameter("limit")
		number, err := strconv.ParseUint(limit, 10, 32)
		if err != nil {
			return queries.BadRequest("no limit"), nil
		}
		found, err := queries.Scan(reader, seen, []byte(prefix), after, uint32(number))
		text := ""
		for _, entry := range found.Entries {
			text += fmt.Sprintf("%s=%d ", entry.Key, entry.Value)
		}
		return queries.Bytes("text/x-all", []byte(text+strconv.FormatBool(found.More))), err
	case "note":
		note, found, err := queries.Get(reader, notes, nil)
		return queries.Text(fmt.Sprintf("%s %t", note, found)), err
	case "absent":
		_, _, err := queries.Get(reader, absent, []byte("a"))
		return none, err
	case "status":
		status, err := strconv.Atoi(query.Path[1])
		return queries.Answer{Status: status, ContentType: "a\xff"}, err
	case "refuse":
		return none, wasmill.Errorf("no-mood", "not today")
	}
	panic("asked for it")
}

func word(key string) wasmilltest.Record { return wasmilltest.Record{Key: wasmilltest.Text(key)} }

func TestAnswersReadWhatIsStored(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	plugin.Run(word("a"), word("b"), word("a"), word("ab"))
	plugin.SetStateOf("other", "seen", "a", []byte("\x07\x00\x00\x00\x00\x00\x00\x00"))
	plugin.SetState("notes", "", []byte("empty key"))
	for _, test := range []struct {
		path, want string
		status     int
	}{
		{"seen/a", "2", 200},
		{"/seen/c/", "never seen", 404},
		{"seen/a?of=other", "7", 200},
		{"seen/b?of=other", "never seen", 404},
		{"seen/a?of=none", "never seen", 404},
		{"many/a/x/b", "[{2 true} {0 false} {1 true}]", 200},
		{"many/a/x?of=other", "[{7 true} {0 false}]", 200},
		{"many", "[]", 200},
		{"all?limit=9", "a=2 ab=1 b=1 false", 200},
		{"all?limit=1", "a=2 true", 200},
		{"all?limit=9&after=a", "ab=1 b=1 false", 200},
		{"all?limit=9&prefix=a&after=", "a=2 ab=1 false", 200},
		{"all?limit=0&prefix=a", "true", 200},
		{"all?limit=9&of=other", "a=7 false", 200},
		{"all", "no limit", 400},
		{"note", "empty key true", 200},
		{"?a=1&b=&a=2&c", `{"now":0,"parameters":[{"Name":"a","Value":"1"},{"Name":"b","Value":""},` +
			`{"Name":"a","Value":"2"},{"Name":"c","Value":""}]}`, 200},
	} {
		answer, err := plugin.Ask(test.path)
		if err != nil || string(answer.Body) != test.want || answer.Status != test.status {
			t.Errorf("%s: got %d %q, %v; want %d %q", test.path, answer.Status, answer.Body, err, test.status, test.want)
		}
	}
}

func TestAnswersHaveStatusAndMediaType(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	for path, want := range map[string]string{
		"seen/a":      "404 text/plain; charset=utf-8",
		"all?limit=1": "200 text/x-all",
		"":            "200 application/json",
		"status/0":    "200 a\uFFFD",
		"status/599":  "599 a\uFFFD",
	} {
		answer, err := plugin.Ask(path)
		if got := fmt.Sprint(answer.Status, " ", answer.ContentType); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", path, got, err, want)
		}
	}
}

func TestFaultsOfThePluginAreErrors(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	plugin.SetState("seen", "bad", []byte("x"))
	for path, want := range map[string]string{
		"refuse":                      "no-mood: not today",
		"panic":                       "error: asked for it",
		"absent":                      "error: the store `absent` is not in About.Stores",
		"status/600":                  "error: an answer has a status of 200 to 599, not 600",
		"status/-65336":               "error: an answer has a status of 200 to 599, not -65336",
		"seen/bad":                    "bad-state: what is stored in `seen` cannot be read: 1 bytes, not 8; has the plugin changed its format?",
		"many/bad":                    "bad-state: what is stored in `seen` cannot be read: 1 bytes, not 8; has the plugin changed its format?",
		"all?limit=1&prefix=b&after=": "bad-state: what is stored in `seen` cannot be read: 1 bytes, not 8; has the plugin changed its format?",
	} {
		_, err := plugin.Ask(path)
		var own *wasmill.Error
		if !errors.As(err, &own) || own.Code+": "+own.Message != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	// The next one is answered.
	if answer, err := plugin.Ask("status/200"); err != nil || answer.Status != 200 {
		t.Errorf("got %d, %v", answer.Status, err)
	}
}

// What is stored as no bytes is stored all the same.
func TestEmptyValuesAreStored(t *testing.T) {
	plugin := wasmilltest.New(t, definition, `{}`)
	data, err := notes.Encode("")
	if err != nil || data == nil {
		t.Fatalf("got %v, %v", data, err)
	}
	plugin.SetState("notes", "", data)
	if answer, err := plugin.Ask("note"); err != nil || string(answer.Body) != " true" {
		t.Errorf("got %q, %v", answer.Body, err)
	}
}
