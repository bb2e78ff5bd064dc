package wasmill

import (
	"fmt"

	"wasmill/internal/core"
)

// Port is where outputs leave.
type Port struct {
	// Name is in kebab-case.
	Name string
	// Doc is one sentence for people.
	Doc string
	// Rekeys: outputs may have other keys than their records; keyed state downstream costs a repartition.
	Rekeys bool
}

// About is what a plugin says of itself: name, version, ports, stores and what it wants to be given.
type About struct {
	// Name is in kebab-case or snake_case.
	Name string
	// Version is the plugin's own.
	Version string
	// Doc is one sentence for people.
	Doc string
	// StateVersion is raised when what is stored changes its meaning.
	StateVersion uint32
	// Inputs are the names of the inputs, in kebab-case; [Record.Input] counts in this order. None: one
	// input without a name.
	Inputs []string
	// Ports are where outputs leave; the first is the default. None: one port, `out`.
	Ports []Port
	// Stores are those that the plugin uses.
	Stores []Store
	// ReadsHeaders: records come with their headers.
	ReadsHeaders bool
	// ReadsOrigins: records come with their origins.
	ReadsOrigins bool
	// ConfigSchema is the JSON Schema of the config table, for `wasmill validate` and editors.
	ConfigSchema string
}

// finished fills in the default port.
func (a About) finished() About {
	if len(a.Ports) == 0 {
		a.Ports = []Port{{Name: "out", Doc: "All outputs"}}
	}
	return a
}

// number tells the stores their numbers.
func (a About) number() error {
	for i, store := range a.Stores {
		spec := store.spec()
		if spec.listed && spec.id != uint32(i) {
			return fmt.Errorf("the store `%s` is listed twice: at place %d and at place %d", spec.name, spec.id, i)
		}
		spec.id, spec.listed = uint32(i), true
	}
	return nil
}

func (d *Definition) describe() (core.Description, error) {
	about := d.about
	description := core.Description{
		Name:         valid(about.Name),
		Version:      valid(about.Version),
		Doc:          valid(about.Doc),
		StateVersion: about.StateVersion,
		SetsTimers:   d.timers,
		ReadsHeaders: about.ReadsHeaders,
		ReadsOrigins: about.ReadsOrigins,
		ConfigSchema: valid(about.ConfigSchema),
	}
	for _, input := range about.Inputs {
		description.Inputs = append(description.Inputs, valid(input))
	}
	for _, port := range about.Ports {
		description.Ports = append(description.Ports,
			core.Port{Name: valid(port.Name), Doc: valid(port.Doc), Rekeys: port.Rekeys})
	}
	for _, store := range about.Stores {
		spec := store.spec()
		description.Stores = append(description.Stores, core.Store{
			Name: valid(spec.name), Doc: valid(spec.doc), Keyed: spec.keyed,
			KeyFormat: "bytes", ValueFormat: valid(spec.format),
		})
	}
	if d.defect != nil {
		return description, d.defect
	}
	for _, requirement := range core.Requirements {
		if !requirement.Has(d.zero) {
			return description, fmt.Errorf("`%s` imports %s, but %T has no method `%s`",
				about.Name, requirement.Package, d.zero, requirement.Method)
		}
	}
	return description, nil
}
