//go:build wasip1

package queries

import (
	"wasmill/internal/bindings/exports/export_wasmill_plugin_query_handler"
	// The component's export.
	_ "wasmill/internal/bindings/exports/wit_query_exports"
	"wasmill/internal/bindings/imports/wasmill_plugin_stores"
	witRuntime "wasmill/internal/bindings/wit/runtime"
	witTypes "wasmill/internal/bindings/wit/types"
	"wasmill/internal/core"
)

func init() {
	core.Requirements = append(core.Requirements, core.Requirement{
		Package: "wasmill/queries",
		Method:  method,
		Has:     func(plugin any) bool { _, has := plugin.(Handler); return has },
	})
	export_wasmill_plugin_query_handler.OnAnswer = func(request core.Request) (core.Response, string) {
		response, err := ask(core.Configured(), wasmPeers{}, request)
		if err != nil {
			return core.Response{}, core.Told(err)
		}
		return response, ""
	}
}

// wasmPeers are the stores of the host that runs the component. What is read is unpinned as soon as slices hold it.
type wasmPeers struct{}

func (wasmPeers) Get(transform, store string, key []byte) ([]byte, bool) {
	value := wasmill_plugin_stores.Get(transform, store, key)
	witRuntime.Unpin()
	if value.IsNone() {
		return nil, false
	}
	return value.Some(), true
}

func (wasmPeers) GetMany(transform, store string, keys core.Column) core.Column {
	values := wasmill_plugin_stores.GetMany(transform, store, keys)
	witRuntime.Unpin()
	return values
}

func (wasmPeers) Scan(transform, store string, prefix, after []byte, limit uint32) core.Page {
	from := witTypes.None[[]byte]()
	if after != nil {
		from = witTypes.Some(after)
	}
	page := wasmill_plugin_stores.Scan(transform, store, prefix, from, limit)
	witRuntime.Unpin()
	return core.Page{Keys: page.Keys, Values: page.Values, More: page.More}
}
