// Package export_wasmill_plugin_query_handler is what the generated exports call for `query-handler`.
package export_wasmill_plugin_query_handler

import (
	"wasmill/internal/bindings/imports/wasmill_plugin_query_handler"
	witTypes "wasmill/internal/bindings/wit/types"
)

// OnAnswer is set by package queries. The message is "" when it has answered.
var OnAnswer func(request wasmill_plugin_query_handler.Request) (wasmill_plugin_query_handler.Response, string)

// Answer answers `answer`.
func Answer(request wasmill_plugin_query_handler.Request) witTypes.Result[wasmill_plugin_query_handler.Response, string] {
	response, message := OnAnswer(request)
	if message != "" {
		return witTypes.Err[wasmill_plugin_query_handler.Response](message)
	}
	return witTypes.Ok[wasmill_plugin_query_handler.Response, string](response)
}
