package wasmilltest

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"wasmill"
	"wasmill/internal/core"
)

type timerKey struct {
	clock     uint8
	key, name string
}

// peerStore is a store of another transform.
type peerStore struct{ transform, store string }

type metric struct {
	spec  *core.MetricSpec
	value float64
}

// host plays the host's functions with maps.
type host struct {
	state   []map[string][]byte
	peers   map[peerStore]map[string][]byte
	timers  map[timerKey]int64
	metrics []metric
	log     func(format string, args ...any)

	now        int64
	streamTime int64
	watermark  int64
	// Stream time and watermark by record of the call at hand; empty in a call for timers.
	streamTimes, watermarks []int64
}

func newHost(stores int) *host {
	h := &host{peers: map[peerStore]map[string][]byte{}, timers: map[timerKey]int64{}, streamTime: -1, watermark: -1, log: func(string, ...any) {}}
	for range stores {
		h.state = append(h.state, map[string][]byte{})
	}
	return h
}

// startBatch lets the stream time go on to what the records bring.
func (h *host) startBatch(records []Record, lateness int64) {
	h.streamTimes, h.watermarks = nil, nil
	for _, record := range records {
		h.streamTime = max(h.streamTime, record.Timestamp)
		h.watermark = max(h.watermark, h.streamTime-lateness)
		h.streamTimes = append(h.streamTimes, h.streamTime)
		h.watermarks = append(h.watermarks, h.watermark)
	}
}

// advance brings the watermark to a time, as a record would.
func (h *host) advance(watermark, lateness int64) {
	if watermark > h.watermark {
		h.watermark, h.streamTime = watermark, max(h.streamTime, watermark+lateness)
	}
}

func (h *host) startTimers() { h.streamTimes, h.watermarks = nil, nil }

func compareTimers(a, b Timer) int {
	return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Clock, b.Clock))
}

func (h *host) sortedTimers() []Timer {
	timers := []Timer{}
	for at, time := range h.timers {
		timers = append(timers, Timer{wasmill.Clock(at.clock), at.key, at.name, time})
	}
	slices.SortFunc(timers, compareTimers)
	return timers
}

// takeDue takes the timers of a clock that are due at the earliest time: what they set may be due before the
// others.
func (h *host) takeDue(clock uint8, until int64) core.DueTimers {
	due := core.DueTimers{Clock: clock}
	for _, timer := range h.sortedTimers() {
		if uint8(timer.Clock) == clock && timer.Time <= until && (due.Count == 0 || timer.Time == due.Times[0]) {
			core.Push(&due.Keys, Text(timer.Key))
			core.Push(&due.Names, Text(timer.Name))
			due.Times = append(due.Times, timer.Time)
			due.Count++
			delete(h.timers, timerKey{clock, timer.Key, timer.Name})
		}
	}
	return due
}

func (h *host) metric(name string) (sum float64) {
	for _, metric := range h.metrics {
		if metric.spec.Name == name {
			sum += metric.value
		}
	}
	return sum
}

func (h *host) Get(store uint32, key []byte) ([]byte, bool) {
	value, found := h.state[store][string(key)]
	return value, found
}

func (h *host) GetMany(store uint32, keys core.Column) core.Column {
	return getMany(h.state[store], keys)
}

func getMany(entries map[string][]byte, keys core.Column) core.Column {
	var values core.Column
	for i := range keys.Ends {
		// What is not there is nil, which is null.
		core.Push(&values, entries[string(core.Entry(&keys, i))])
	}
	return values
}

func (h *host) Put(store uint32, key, value []byte) {
	h.state[store][string(key)] = append([]byte{}, value...)
}

func (h *host) Remove(store uint32, key []byte) { delete(h.state[store], string(key)) }

func (h *host) Scan(store uint32, prefix, after []byte, limit uint32) core.Page {
	return scan(h.state[store], prefix, after, limit)
}

// scanned is how many entries the host gives at most.
const scanned = 1000

func scan(entries map[string][]byte, prefix, after []byte, limit uint32) (page core.Page) {
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if !strings.HasPrefix(key, string(prefix)) || (after != nil && key <= string(after)) {
			continue
		}
		if len(page.Keys.Ends) >= int(min(limit, scanned)) {
			page.More = true
			return page
		}
		core.Push(&page.Keys, Text(key))
		core.Push(&page.Values, entries[key])
	}
	return page
}

// peers plays the stores of the pipeline's other transforms.
type peers struct{ host *host }

func (p peers) Get(transform, store string, key []byte) ([]byte, bool) {
	value, found := p.host.peers[peerStore{transform, store}][string(key)]
	return value, found
}

func (p peers) GetMany(transform, store string, keys core.Column) core.Column {
	return getMany(p.host.peers[peerStore{transform, store}], keys)
}

func (p peers) Scan(transform, store string, prefix, after []byte, limit uint32) core.Page {
	return scan(p.host.peers[peerStore{transform, store}], prefix, after, limit)
}

func (h *host) PutMany(store uint32, keys, values core.Column) {
	for i := range keys.Ends {
		key := string(core.Entry(&keys, i))
		if value := core.Entry(&values, i); value != nil {
			h.state[store][key] = bytesClone(value)
		} else {
			delete(h.state[store], key)
		}
	}
}

func (h *host) Timer(clock uint8, key []byte, name string) (int64, bool) {
	time, set := h.timers[timerKey{clock, string(key), name}]
	return time, set
}

func (h *host) SetTimers(clock uint8, keys, names core.Column, times []int64) {
	for i, time := range times {
		at := timerKey{clock, string(core.Entry(&keys, i)), string(core.Entry(&names, i))}
		if time < 0 {
			delete(h.timers, at)
		} else {
			h.timers[at] = time
		}
	}
}

func (h *host) LogThreshold() uint8 { return uint8(wasmill.LevelTrace) }

func (h *host) WriteLog(level uint8, index int, message string) {
	h.log("log: level %d, record %d: %s", level, index, message)
}

func (h *host) DefineMetric(spec *core.MetricSpec) uint32 {
	h.metrics = append(h.metrics, metric{spec: spec})
	return uint32(len(h.metrics) - 1)
}

func (h *host) UpdateMetric(number uint32, value float64) {
	const gauge = 1
	if it := &h.metrics[number]; it.spec.Kind == gauge {
		it.value = value
	} else {
		it.value += value
	}
}

func (h *host) Pipeline() string  { return "test" }
func (h *host) Transform() string { return "test" }
func (h *host) Now() int64        { return h.now }

func (h *host) StreamTime(index uint32) int64 { return at(h.streamTimes, int(index), h.streamTime) }
func (h *host) Watermark(index uint32) int64  { return at(h.watermarks, int(index), h.watermark) }
func (h *host) Seed(index uint32) uint64      { return uint64(index) }
