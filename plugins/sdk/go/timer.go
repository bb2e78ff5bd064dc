package wasmill

import (
	"unicode/utf8"

	"wasmill/internal/core"
)

// Clock is which time a timer waits for.
type Clock uint8

const (
	// EventTime is the watermark: the largest event time that the task has seen, less the lateness that
	// the pipeline allows. The same on replay.
	EventTime = Clock(core.EventTime)
	// WallClock is the clock on the wall.
	WallClock = Clock(core.WallClock)
)

// Timer is one that is due. It is of no use after OnTimer.
type Timer struct {
	due   *core.DueTimers
	index int
}

// Key answers the key for which the timer was set.
func (t Timer) Key() []byte { return core.Entry(&t.due.Keys, t.index) }

// KeyText answers the key as text. The error is `bad-utf8`.
func (t Timer) KeyText() (string, error) { return keyText(t.Key()) }

// Name answers the timer's name.
func (t Timer) Name() string { return alias(core.Entry(&t.due.Names, t.index)) }

// Time answers the time for which the timer was set, in milliseconds since 1970 UTC.
func (t Timer) Time() int64 { return t.due.Times[t.index] }

// Clock answers which time the timer waited for.
func (t Timer) Clock() Clock { return Clock(t.due.Clock) }

// Partition answers the task's partition.
func (t Timer) Partition() uint32 { return t.due.Partition }

// timerKey is what a timer is known by; the key is its slot in the cache.
type timerKey struct {
	clock Clock
	slot  int32
	name  string
}

// timerUndo is a change as it was before the record at hand touched it.
type timerUndo struct {
	at    timerKey
	time  int64
	known bool
}

// cancelled is the time of a timer that is taken back.
const cancelled int64 = -1

// timerChanges are those of one call, handed to the host at its end.
type timerChanges struct {
	times map[timerKey]int64
	// In order of their first change; after a rollback some may be in it no longer changed, or twice.
	order []timerKey
	undo  []timerUndo
}

func (t *timerChanges) set(at timerKey, time int64) {
	if t.times == nil {
		t.times = map[timerKey]int64{}
	}
	before, known := t.times[at]
	t.undo = append(t.undo, timerUndo{at, before, known})
	if !known {
		t.order = append(t.order, at)
	}
	t.times[at] = time
}

func (t *timerChanges) keep() { t.undo = t.undo[:0] }

func (t *timerChanges) rollback() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		undo := &t.undo[i]
		if undo.known {
			t.times[undo.at] = undo.time
		} else {
			delete(t.times, undo.at)
		}
	}
	t.undo = t.undo[:0]
}

// flush hands the changes to the host. It comes before the cache's flush, which forgets the keys.
func (t *timerChanges) flush(host core.Host, cache *cache) {
	if len(t.order) == 0 {
		return
	}
	for _, clock := range []Clock{EventTime, WallClock} {
		var keys, names core.Column
		var times []int64
		for _, at := range t.order {
			time, changed := t.times[at]
			if at.clock != clock || !changed {
				continue
			}
			delete(t.times, at)
			core.Push(&keys, bytesOf(cache.keys[at.slot]))
			core.Push(&names, bytesOf(at.name))
			times = append(times, time)
		}
		if len(times) > 0 {
			host.SetTimers(uint8(clock), keys, names, times)
		}
	}
	clear(t.times)
	t.order = t.order[:0]
}

// SetTimer sets a timer for the record's key, in place of the one of the same clock and name. It fires
// once, when its clock reaches the time, in milliseconds since 1970 UTC; at once when it is there
// already. Within OnTimer of an event-time timer, another one must be set for a later time than that which is
// firing. The errors are `no-key`, `no-timer-name`, `bad-utf8`, and `error` for a time that cannot be.
func (c *Context) SetTimer(clock Clock, name string, at int64) error {
	key, err := c.timerKey(clock, name)
	if err != nil {
		return err
	}
	if at < 0 {
		return Errorf("error", "the timer `%s` was set for %d, a time before 1970", name, at)
	}
	if c.due != nil && clock == EventTime && c.due.Clock == core.EventTime && at <= c.due.Times[c.index] {
		return Errorf("error", "the timer `%s` was set for %d, which is not later than %d, the time of the one that is firing",
			name, at, c.due.Times[c.index])
	}
	c.timers.set(key, at)
	return nil
}

// CancelTimer takes a timer of the record's key back. The errors are `no-key`, `no-timer-name` and
// `bad-utf8`.
func (c *Context) CancelTimer(clock Clock, name string) error {
	key, err := c.timerKey(clock, name)
	if err != nil {
		return err
	}
	c.timers.set(key, cancelled)
	return nil
}

// Timer answers the time for which a timer of the record's key is set; false when it is not. The errors are
// `no-key`, `no-timer-name` and `bad-utf8`.
func (c *Context) Timer(clock Clock, name string) (at int64, set bool, err error) {
	key, err := c.timerKey(clock, name)
	if err != nil {
		return 0, false, err
	}
	if at, changed := c.timers.times[key]; changed {
		return at, at != cancelled, nil
	}
	at, set = c.host.Timer(uint8(clock), bytesOf(c.cache.keys[key.slot]), name)
	return at, set, nil
}

func (c *Context) timerKey(clock Clock, name string) (timerKey, error) {
	slot := c.cache.slotOfRecord(c.index)
	switch {
	case !c.definition.timers:
		return timerKey{}, Errorf("error", "a plugin that sets timers has a method `OnTimer`")
	case slot == noSlot:
		return timerKey{}, errNoKey()
	case name == "":
		return timerKey{}, Errorf("no-timer-name", "a timer has a name")
	case len(name) > 255:
		return timerKey{}, Errorf("no-timer-name", "a timer's name has at most 255 bytes, not %d", len(name))
	case !utf8.ValidString(name):
		return timerKey{}, Errorf("bad-utf8", "the timer's name %q is no UTF-8", name)
	}
	return timerKey{clock, slot, name}, nil
}
