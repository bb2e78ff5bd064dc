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

// cancelled is the time of a timer that is taken back.
const cancelled int64 = -1

// timerChange is a change of a timer.
type timerChange struct {
	at   timerKey
	time int64
	// The time of the last change before it, when there is one.
	before int64
	again  bool
}

// timerChanges are those of one call, handed to the host at its end.
type timerChanges struct {
	// In order: a timer that was due before a later change took it back has fired.
	all []timerChange
	// The time of the last change of each timer.
	last map[timerKey]int64
	// How many changes were made before the record at hand.
	kept int
	// What goes to the host, kept for its memory.
	keys, names core.Column
	times       []int64
}

func (t *timerChanges) set(at timerKey, time int64) {
	if t.last == nil {
		t.last = map[timerKey]int64{}
	}
	before, again := t.last[at]
	t.all = append(t.all, timerChange{at, time, before, again})
	t.last[at] = time
}

// keep: the record at hand is done, and what it changed stays.
func (t *timerChanges) keep() { t.kept = len(t.all) }

// rollback: the record at hand has failed, and what it changed is taken back.
func (t *timerChanges) rollback() {
	for i := len(t.all) - 1; i >= t.kept; i-- {
		if change := &t.all[i]; change.again {
			t.last[change.at] = change.before
		} else {
			delete(t.last, change.at)
		}
	}
	t.all = t.all[:t.kept]
}

// flush hands the changes to the host, once per clock, and forgets them. It comes before the cache's flush,
// which forgets the keys.
func (t *timerChanges) flush(host core.Host, cache *cache) {
	if len(t.all) == 0 {
		return
	}
	for _, clock := range []Clock{EventTime, WallClock} {
		core.Clear(&t.keys)
		core.Clear(&t.names)
		t.times = t.times[:0]
		for i := range t.all {
			if change := &t.all[i]; change.at.clock == clock {
				core.Push(&t.keys, bytesOf(cache.keys[change.at.slot]))
				core.Push(&t.names, bytesOf(change.at.name))
				t.times = append(t.times, change.time)
			}
		}
		if len(t.times) > 0 {
			host.SetTimers(uint8(clock), t.keys, t.names, t.times)
		}
	}
	clear(t.last)
	clear(t.all)
	t.all, t.kept = t.all[:0], 0
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
	if at, changed := c.timers.last[key]; changed {
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
