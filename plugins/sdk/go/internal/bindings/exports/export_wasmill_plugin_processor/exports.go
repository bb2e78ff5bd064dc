// Package export_wasmill_plugin_processor is what the generated exports call for `processor`.
package export_wasmill_plugin_processor

import (
	"wasmill/internal/bindings/imports/wasmill_plugin_types"
	witTypes "wasmill/internal/bindings/wit/types"
)

// OnProcess is set by package wasmill.
var OnProcess func(batch *wasmill_plugin_types.Inbound) wasmill_plugin_types.Outbound

// Process answers `process`. Records fail one by one, in what it answers; a call never does.
func Process(batch wasmill_plugin_types.Inbound) witTypes.Result[wasmill_plugin_types.Outbound, string] {
	return witTypes.Ok[wasmill_plugin_types.Outbound, string](OnProcess(&batch))
}
