package wasmill

import (
	"fmt"
	"runtime/debug"

	"wasmill/internal/core"
)

// instance is a configured plugin: its life between the host's calls.
type instance struct {
	plugin  Plugin
	handler TimerHandler
	outputs outputs
	timers  timerChanges
	ctx     Context
}

func open(definition *Definition, config string, host core.Host) (*instance, []core.Problem) {
	if definition.defect != nil {
		return nil, []core.Problem{{Message: valid(definition.defect.Error())}}
	}
	plugin, problems := definition.construct(config)
	if len(problems) > 0 {
		return nil, problems
	}
	it := &instance{plugin: plugin}
	it.handler, _ = plugin.(TimerHandler)
	it.ctx = Context{
		definition: definition,
		host:       host,
		cache:      newCache(host, len(definition.about.Stores)),
		outputs:    &it.outputs,
		timers:     &it.timers,
		metrics:    map[*core.MetricSpec]uint32{},
	}
	return it, nil
}

// Process runs a batch, record by record.
func (it *instance) Process(batch *core.Inbound) core.Outbound {
	it.ctx.batch, it.ctx.due = batch, nil
	return it.call(int(batch.Count), &batch.Keys, batch.Timestamps, func(index int) error {
		return it.plugin.Process(Record{batch, index}, &it.ctx)
	})
}

// OnTimers runs timers that are due, one by one.
func (it *instance) OnTimers(due *core.DueTimers) core.Outbound {
	it.ctx.batch, it.ctx.due = nil, due
	return it.call(int(due.Count), &due.Keys, due.Times, func(index int) error {
		return it.handler.OnTimer(Timer{due, index}, &it.ctx)
	})
}

// Plugin answers what the constructor made.
func (it *instance) Plugin() any { return it.plugin }

// Host answers what the plugin may call.
func (it *instance) Host() core.Host { return it.ctx.host }

// StoreNumber answers the number of the store of this name, false when the plugin has none.
func (it *instance) StoreNumber(name string) (uint32, bool) {
	for i, store := range it.ctx.definition.about.Stores {
		if store.spec().name == name {
			return uint32(i), true
		}
	}
	return 0, false
}

// Guard runs a call that has no records. A panic becomes an error, as that of a record does.
func (it *instance) Guard(call func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			message, stack := fmt.Sprint(cause), string(debug.Stack())
			it.ctx.host.WriteLog(uint8(LevelError), -1, valid(message+"\n"+stack))
			err = &Error{Code: "error", Message: message, Detail: stack}
		}
	}()
	return call()
}

func (it *instance) call(count int, keys *core.Column, inherited []int64, run func(index int) error) core.Outbound {
	it.outputs.reset()
	it.ctx.cache.begin(keys, count)
	it.ctx.threshold = -1
	for index := 0; index < count; {
		index = it.some(index, count, run)
	}
	it.timers.flush(it.ctx.host, it.ctx.cache)
	it.ctx.cache.flush()
	return it.outputs.finish(count, inherited)
}

// some runs records from start until one panics or all are done, and answers the next to run: so a deferred
// call is paid for once, not for every record.
func (it *instance) some(start, count int, run func(index int) error) (next int) {
	index, emitted := start, 0
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		it.fail(index, emitted, &Error{Code: "error", Message: fmt.Sprint(cause), Detail: string(debug.Stack())})
		next = index + 1
	}()
	for ; index < count; index++ {
		emitted = it.outputs.len()
		it.ctx.index = index
		if err := run(index); err != nil {
			it.fail(index, emitted, err)
			continue
		}
		it.ctx.cache.keep()
		it.timers.keep()
	}
	return count
}

// fail drops what the record at hand did.
func (it *instance) fail(index, emitted int, err error) {
	it.outputs.truncate(emitted)
	it.ctx.cache.rollback()
	it.timers.rollback()
	it.outputs.failures = append(it.outputs.failures, failure(uint32(index), err))
}
