package wasmill

import (
	"fmt"
	"strings"
	"testing"
)

type testConfig struct {
	Gap    int64          `json:"gap_ms" wasmill:"required"`
	Ratio  float64        `json:"ratio"`
	Names  []string       `json:"names"`
	Limits map[string]int `json:"limits"`
	Inner  struct {
		On *bool `json:"on" wasmill:"required"`
	} `json:"inner"`
	Any  any   `json:"any"`
	Byte uint8 `json:"byte"`
}

func (c *testConfig) SetDefaults() { c.Ratio = 0.5 }

func TestConfigIsRead(t *testing.T) {
	config, problems := readConfig[testConfig](
		`{"gap_ms":5,"names":["a","\u00e9"],"limits":{"x/y":1},"inner":{"on":true},"any":[1,{"a":null}],"byte":255}`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got := fmt.Sprint(config.Gap, config.Ratio, config.Names, config.Limits, *config.Inner.On, config.Any, config.Byte)
	if want := `5 0.5 [a é] map[x/y:1] true [1 map[a:<nil>]] 255`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestConfigProblemsNameTheirPlaces(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                "/gap_ms: missing; it is required",
		``:                                  "/gap_ms: missing; it is required",
		`null`:                              "/gap_ms: missing; it is required",
		`{"gap_ms":"5"}`:                    "/gap_ms: must be a whole number of 64 bits, not text",
		`{"gap_ms":1.5}`:                    "/gap_ms: must be a whole number of 64 bits, not 1.5",
		`{"gap_ms":99999999999999999999}`:   "/gap_ms: must be a whole number of 64 bits, not 99999999999999999999",
		`{"gap_ms":null}`:                   "/gap_ms: must be a whole number of 64 bits, not null",
		`{"gap_ms":1,"byte":256}`:           "/byte: must be a whole number of 8 bits, at least 0, not 256",
		`{"gap_ms":1,"names":["a",5,{}]}`:   "/names/1: must be text, not 5\n/names/2: must be text, not a table",
		`{"gap_ms":1,"limits":{"a/b":"x"}}`: "/limits/a~1b: must be a whole number of 64 bits, not text",
		`{"gap_ms":1,"inner":{}}`:           "/inner/on: missing; it is required",
		`{"gap_ms":1,"inner":{"on":true,"of":1}}`: "/inner/of: unknown option `of`; known are `on`",
		`{"gap_ms":1,"Ratio":1,"names":true}`:     "/Ratio: unknown option `Ratio`; known are `gap_ms`, `ratio`, `names`, `limits`, `inner`, `any`, `byte`\n/names: must be an array, not true",
		`[]`:                                      "must be a table, not an array",
		`{"gap_ms":`:                              "the config is no JSON",
	} {
		_, problems := readConfig[testConfig](text)
		if got := problems.Error(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	_, problems := readConfig[NoConfig](`{"a~b":1}`)
	if got := problems.Error(); got != "/a~0b: unknown option `a~b`; there are none" {
		t.Errorf("got %s", got)
	}
}

type countless struct{}

func (countless) Process(Record, *Context) error { return nil }

func TestADefinitionsDefectsAreTold(t *testing.T) {
	store := NewKeyed("s", "", U64LE)
	for want, definition := range map[string]*Definition{
		"listed twice":             Define(About{Stores: []Store{store, store}}, func(NoConfig) (countless, error) { return countless{}, nil }),
		"must answer its own type": Define(About{}, func(NoConfig) (Plugin, error) { return countless{}, nil }),
	} {
		if _, err := definition.describe(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
