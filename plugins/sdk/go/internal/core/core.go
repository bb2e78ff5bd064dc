// Package core is what package wasmill and its test helper share: the contract's shapes, the host as an
// interface, and a plugin as the host sees it.
package core

import (
	"wasmill/internal/bindings/imports/wasmill_plugin_lifecycle"
	"wasmill/internal/bindings/imports/wasmill_plugin_types"
)

// The contract's types.
type (
	Column      = wasmill_plugin_types.Column
	Headers     = wasmill_plugin_types.Headers
	Origins     = wasmill_plugin_types.Origins
	Inbound     = wasmill_plugin_types.Inbound
	Outbound    = wasmill_plugin_types.Outbound
	DueTimers   = wasmill_plugin_types.DueTimers
	Failure     = wasmill_plugin_types.Failure
	Description = wasmill_plugin_lifecycle.Description
	Port        = wasmill_plugin_lifecycle.Port
	Store       = wasmill_plugin_lifecycle.Store
	Problem     = wasmill_plugin_lifecycle.Problem
)

// The clocks of timers.
const (
	EventTime = wasmill_plugin_types.Clock_EventTime
	WallClock = wasmill_plugin_types.Clock_WallClock
)

// MetricSpec says what a metric is.
type MetricSpec struct {
	Name, Help string
	Kind       uint8
	Labels     [][2]string
	Bounds     []float64
}

// Host is what a plugin may call. In WebAssembly it is the real one, under `go test` the test helper.
type Host interface {
	Get(store uint32, key []byte) ([]byte, bool)
	GetMany(store uint32, keys Column) Column
	PutMany(store uint32, keys, values Column)
	Timer(clock uint8, key []byte, name string) (int64, bool)
	SetTimers(clock uint8, keys, names Column, times []int64)
	LogThreshold() uint8
	// An index below 0 stands for none.
	WriteLog(level uint8, index int, message string)
	DefineMetric(spec *MetricSpec) uint32
	UpdateMetric(metric uint32, value float64)
	Pipeline() string
	Transform() string
	Now() int64
	StreamTime(index uint32) int64
	Watermark(index uint32) int64
	Seed(index uint32) uint64
}

// Instance is a configured plugin. What it answers is its own until the next call.
type Instance interface {
	Process(batch *Inbound) Outbound
	OnTimers(due *DueTimers) Outbound
}

// Open configures a plugin; the definition is a *wasmill.Definition. Package wasmill sets it: so the
// test helper reaches what no user is to see.
var Open func(definition any, config string, host Host) (Instance, []Problem)

// Describe answers a definition's description, or what is wrong with it.
var Describe func(definition any) (Description, error)
