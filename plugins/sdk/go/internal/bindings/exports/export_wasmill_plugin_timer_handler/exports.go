// Package export_wasmill_plugin_timer_handler is what the generated exports call for `timer-handler`.
package export_wasmill_plugin_timer_handler

import (
	"wasmill/internal/bindings/imports/wasmill_plugin_types"
	witTypes "wasmill/internal/bindings/wit/types"
)

// OnDue is set by package wasmill.
var OnDue func(due *wasmill_plugin_types.DueTimers) wasmill_plugin_types.Outbound

// OnTimers answers `on-timers`. Timers fail one by one, in what it answers; a call never does.
func OnTimers(due wasmill_plugin_types.DueTimers) witTypes.Result[wasmill_plugin_types.Outbound, string] {
	return witTypes.Ok[wasmill_plugin_types.Outbound, string](OnDue(&due))
}
