// Package export_wasmill_plugin_lifecycle is what the generated exports call for `lifecycle`.
package export_wasmill_plugin_lifecycle

import (
	"wasmill/internal/bindings/imports/wasmill_plugin_lifecycle"
	witTypes "wasmill/internal/bindings/wit/types"
)

// OnDescribe and OnConfigure are set by package wasmill.
var (
	OnDescribe  func() wasmill_plugin_lifecycle.Description
	OnConfigure func(config string) []wasmill_plugin_lifecycle.Problem
)

// Describe answers `describe`.
func Describe() wasmill_plugin_lifecycle.Description {
	return OnDescribe()
}

// Configure answers `configure`.
func Configure(config string) witTypes.Result[witTypes.Unit, []wasmill_plugin_lifecycle.Problem] {
	if problems := OnConfigure(config); len(problems) > 0 {
		return witTypes.Err[witTypes.Unit](problems)
	}
	return witTypes.Ok[witTypes.Unit, []wasmill_plugin_lifecycle.Problem](witTypes.Unit{})
}
