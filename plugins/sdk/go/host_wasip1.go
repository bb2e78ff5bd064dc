//go:build wasip1

package wasmill

import (
	"fmt"
	"runtime/debug"

	"wasmill/internal/bindings/exports/export_wasmill_plugin_lifecycle"
	"wasmill/internal/bindings/exports/export_wasmill_plugin_processor"
	"wasmill/internal/bindings/exports/export_wasmill_plugin_timer_handler"
	// The component's exports.
	_ "wasmill/internal/bindings/exports/wit_exports"
	"wasmill/internal/bindings/imports/wasmill_plugin_context"
	"wasmill/internal/bindings/imports/wasmill_plugin_log"
	"wasmill/internal/bindings/imports/wasmill_plugin_metrics"
	"wasmill/internal/bindings/imports/wasmill_plugin_state"
	"wasmill/internal/bindings/imports/wasmill_plugin_timers"
	witRuntime "wasmill/internal/bindings/wit/runtime"
	witTypes "wasmill/internal/bindings/wit/types"
	"wasmill/internal/core"
)

var configured *instance

func init() {
	core.Configured = func() core.Instance {
		if configured == nil {
			panic("the plugin was not configured")
		}
		return configured
	}
	export_wasmill_plugin_lifecycle.OnDescribe = func() core.Description {
		defer reportPanic()
		if registered == nil {
			panic("no plugin is registered: call wasmill.Register in `init`, not in `main`, which never runs")
		}
		description, err := registered.describe()
		if err != nil {
			panic(err)
		}
		return description
	}
	export_wasmill_plugin_lifecycle.OnConfigure = func(config string) (problems []core.Problem) {
		defer reportPanic()
		configured, problems = open(registered, config, wasmHost{})
		return problems
	}
	export_wasmill_plugin_processor.OnProcess = func(batch *core.Inbound) core.Outbound {
		defer reportPanic()
		return configured.Process(batch)
	}
	export_wasmill_plugin_timer_handler.OnDue = func(due *core.DueTimers) core.Outbound {
		defer reportPanic()
		return configured.OnTimers(due)
	}
}

// reportPanic writes a panic outside of a record's method to the host's log, which shows it as the cause of
// the trap that follows.
func reportPanic() {
	if cause := recover(); cause != nil {
		message := valid(fmt.Sprintf("%v\n%s", cause, debug.Stack()))
		wasmill_plugin_log.Write(wasmill_plugin_log.Level_Error, witTypes.None[uint32](), message)
		panic(cause)
	}
}

// wasmHost is the host that runs the component.
//
// What the host writes is pinned until the next call of the plugin, which in a migration or a query may read much: what
// is read is unpinned as soon as slices hold it.
type wasmHost struct{}

func (wasmHost) Get(store uint32, key []byte) ([]byte, bool) {
	value := wasmill_plugin_state.Get(store, key)
	witRuntime.Unpin()
	if value.IsNone() {
		return nil, false
	}
	return value.Some(), true
}

func (wasmHost) GetMany(store uint32, keys core.Column) core.Column {
	values := wasmill_plugin_state.GetMany(store, keys)
	witRuntime.Unpin()
	return values
}

func (wasmHost) PutMany(store uint32, keys, values core.Column) {
	wasmill_plugin_state.PutMany(store, keys, values)
}

func (wasmHost) Put(store uint32, key, value []byte) { wasmill_plugin_state.Put(store, key, value) }

func (wasmHost) Remove(store uint32, key []byte) { wasmill_plugin_state.Remove(store, key) }

func (wasmHost) Scan(store uint32, prefix, after []byte, limit uint32) core.Page {
	from := witTypes.None[[]byte]()
	if after != nil {
		from = witTypes.Some(after)
	}
	page := wasmill_plugin_state.Scan(store, prefix, from, limit)
	witRuntime.Unpin()
	return core.Page{Keys: page.Keys, Values: page.Values, More: page.More}
}

func (wasmHost) Timer(clock uint8, key []byte, name string) (int64, bool) {
	at := wasmill_plugin_timers.Get(clock, key, name)
	return at.SomeOr(cancelled), at.IsSome()
}

func (wasmHost) SetTimers(clock uint8, keys, names core.Column, times []int64) {
	wasmill_plugin_timers.SetMany(clock, keys, names, times)
}

func (wasmHost) LogThreshold() uint8 { return wasmill_plugin_log.Threshold() }

func (wasmHost) WriteLog(level uint8, index int, message string) {
	at := witTypes.None[uint32]()
	if index >= 0 {
		at = witTypes.Some(uint32(index))
	}
	wasmill_plugin_log.Write(level, at, message)
}

func (wasmHost) DefineMetric(spec *core.MetricSpec) uint32 {
	labels := make([]witTypes.Tuple2[string, string], len(spec.Labels))
	for i, label := range spec.Labels {
		labels[i] = witTypes.Tuple2[string, string]{F0: label[0], F1: label[1]}
	}
	return wasmill_plugin_metrics.Define(spec.Name, spec.Kind, spec.Help, labels, spec.Bounds)
}

func (wasmHost) UpdateMetric(metric uint32, value float64) {
	wasmill_plugin_metrics.Update(metric, value)
}

func (wasmHost) Pipeline() string              { return wasmill_plugin_context.Pipeline() }
func (wasmHost) Transform() string             { return wasmill_plugin_context.Transform() }
func (wasmHost) Now() int64                    { return wasmill_plugin_context.Now() }
func (wasmHost) StreamTime(index uint32) int64 { return wasmill_plugin_context.StreamTime(index) }
func (wasmHost) Watermark(index uint32) int64  { return wasmill_plugin_context.Watermark(index) }
func (wasmHost) Seed(index uint32) uint64      { return wasmill_plugin_context.Seed(index) }
