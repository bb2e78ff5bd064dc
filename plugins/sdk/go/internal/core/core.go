// Package core is what package wasmill and its test helper share: the contract's shapes, the host as an
// interface, and a plugin as the host sees it.
package core

import (
	"wasmill/internal/bindings/imports/wasmill_plugin_lifecycle"
	"wasmill/internal/bindings/imports/wasmill_plugin_query_handler"
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
	Request     = wasmill_plugin_query_handler.Request
	Response    = wasmill_plugin_query_handler.Response
)

// The clocks of timers.
const (
	EventTime = wasmill_plugin_types.Clock_EventTime
	WallClock = wasmill_plugin_types.Clock_WallClock
)

// Page is some entries of a store, by rising keys.
type Page struct {
	Keys, Values Column
	// There are entries after the last key.
	More bool
}

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
	Put(store uint32, key, value []byte)
	Remove(store uint32, key []byte)
	// Nil for after stands for none.
	Scan(store uint32, prefix, after []byte, limit uint32) Page
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

// Peers are the stores of all transforms of the pipeline, which a query may read. In WebAssembly they are the
// real ones, under `go test` the test helper.
type Peers interface {
	Get(transform, store string, key []byte) ([]byte, bool)
	GetMany(transform, store string, keys Column) Column
	// Nil for after stands for none.
	Scan(transform, store string, prefix, after []byte, limit uint32) Page
}

// Instance is a configured plugin. What it answers is its own until the next call.
type Instance interface {
	Process(batch *Inbound) Outbound
	OnTimers(due *DueTimers) Outbound
	// Plugin answers what the plugin's constructor made.
	Plugin() any
	// Host answers what the plugin may call.
	Host() Host
	// StoreNumber answers the number of the store of this name, false when the plugin has none.
	StoreNumber(name string) (uint32, bool)
	// Guard runs a call that has no records: a panic becomes an error, and its stack goes to the log.
	Guard(call func() error) error
}

// Open configures a plugin; the definition is a *wasmill.Definition. Package wasmill sets it: so the
// test helper reaches what no user is to see.
var Open func(definition any, config string, host Host) (Instance, []Problem)

// Describe answers a definition's description, or what is wrong with it.
var Describe func(definition any) (Description, error)

// Configured answers the component's plugin. Package wasmill sets it, in WebAssembly.
var Configured func() Instance

// Told answers what is said of an error where there is no place for its code. Package wasmill sets it.
var Told func(err error) string

// Ask lets a plugin answer a question, and Migrate change what is stored: packages queries and migration set
// them.
var (
	Ask     func(instance Instance, peers Peers, request Request) (Response, error)
	Migrate func(instance Instance, from uint32) error
)

// Requirement is what a package asks of the plugin that imports it. Each such package adds its own, in
// WebAssembly: there it has brought exports along.
type Requirement struct {
	// Package is the package's path, Method the method that the plugin must have.
	Package, Method string
	// Has says whether a plugin has it; it is given the zero value of the plugin's type.
	Has func(plugin any) bool
}

// Requirements are those of the packages that are linked.
var Requirements []Requirement
