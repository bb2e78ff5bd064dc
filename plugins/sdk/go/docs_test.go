package wasmill_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// goTest vets and tests a module of these files, which finds the SDK where `./wasmill-sdk` is said.
func goTest(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	sdk, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		text = strings.ReplaceAll(text, "./wasmill-sdk", sdk)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range []string{"vet ./...", "test ./...", "mod tidy -diff"} {
		run := exec.Command("go", strings.Fields(command)...)
		run.Dir = dir
		if output, err := run.CombinedOutput(); err != nil {
			t.Errorf("go %s: %v\n%s", command, err, output)
		}
	}
	format := exec.Command("gofmt", "-l", dir)
	if output, err := format.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("gofmt: %v\n%s", err, output)
	}
}

func template(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("template", name+".tmpl"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "{{name}}", "my_plugin")
}

// The template of a new project passes its own tests.
func TestTemplate(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"go.mod", "go.sum", "main.go", "main_test.go"} {
		files[name] = template(t, name)
	}
	goTest(t, files)
}

// What README.md shows is a plugin and its test.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, block := range strings.Split(string(text), "```go\n")[1:] {
		code, _, _ := strings.Cut(block, "```")
		blocks = append(blocks, code)
	}
	if len(blocks) != 4 {
		t.Fatalf("README.md has %d blocks of Go", len(blocks))
	}
	goTest(t, map[string]string{
		"go.mod":       template(t, "go.mod"),
		"go.sum":       template(t, "go.sum"),
		"main.go":      blocks[0],
		"queries.go":   "package main\n\n" + blocks[1],
		"migration.go": "package main\n\n" + strings.Replace(blocks[2], "\n\n", "\n\nimport \"wasmill\"\n\n", 1),
		"types.go":     "package main\n\ntype Counter struct{}\n\ntype Seen struct{ Count uint64 }\n",
		"main_test.go": "package main\n\nimport (\n\t\"slices\"\n\t\"testing\"\n\n\t\"wasmill/wasmilltest\"\n)\n\n" + blocks[3],
	})
}
