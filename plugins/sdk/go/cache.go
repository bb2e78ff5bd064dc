package wasmill

import (
	"unsafe"

	"wasmill/internal/core"
)

// noSlot is the slot of a record without a key.
const noSlot int32 = -1

type entryKind uint8

const (
	// Not asked for yet.
	entryUnknown entryKind = iota
	// There is no value.
	entryAbsent
	// There is one.
	entryPresent
)

type entry struct {
	kind entryKind
	// It differs from what the host has.
	dirty bool
	value []byte
}

type storeCache struct {
	// By slot; shorter than the slots when the last ones are unknown here.
	entries    []entry
	prefetched bool
	// The bytes of values that were written. Only ever appended to within a call, so that what an undo
	// brings back still stands.
	written []byte
	// Slots that became dirty, possibly more than once.
	dirty []int32
}

// entryUndo is an entry as it was before the record at hand touched it.
type entryUndo struct {
	store uint32
	slot  int32
	entry entry
}

// cache is the state during one call: read with one host call per store, written with one, and taken
// back record by record. Nothing outlives the call: a call holds records of one partition, so partitions
// never mix, and after a trap or an abort there is nothing stale.
type cache struct {
	host core.Host
	// The keys of the call's records or timers.
	source *core.Column
	count  int
	// The keys by slot, and their slots.
	keys  []string
	slots map[string]int32
	// The slot of each record, and how many slots they have, once interned. Those of other keys come after
	// them.
	ofRecord []int32
	ofBatch  int
	interned bool
	stores   []storeCache
	undo     []entryUndo
	// What goes to the host, kept for its memory.
	keyColumn, valueColumn core.Column
}

func newCache(host core.Host, stores int) *cache {
	return &cache{host: host, slots: map[string]int32{}, stores: make([]storeCache, stores)}
}

// begin starts a call.
func (c *cache) begin(keys *core.Column, count int) {
	c.source, c.count = keys, count
}

// slotOfRecord answers the slot of a record's key.
func (c *cache) slotOfRecord(index int) int32 {
	c.intern()
	return c.ofRecord[index]
}

func (c *cache) intern() {
	if c.interned {
		return
	}
	c.interned = true
	for i := range c.count {
		key := core.Entry(c.source, i)
		if key == nil {
			c.ofRecord = append(c.ofRecord, noSlot)
			continue
		}
		// The batch's bytes stay as they are until the slots are forgotten: no copy.
		c.ofRecord = append(c.ofRecord, c.slot(alias(key)))
	}
	c.ofBatch = len(c.keys)
}

// slotOfKey answers the slot of any key.
func (c *cache) slotOfKey(key []byte) int32 {
	c.intern()
	if slot, found := c.slots[string(key)]; found {
		return slot
	}
	return c.slot(string(key))
}

func (c *cache) slot(key string) int32 {
	if slot, found := c.slots[key]; found {
		return slot
	}
	slot := int32(len(c.keys))
	c.keys = append(c.keys, key)
	c.slots[key] = slot
	return slot
}

// get answers the value at a slot, nil for none. ahead: the first read fetches the values of all keys of
// the call.
func (c *cache) get(store uint32, slot int32, ahead bool) []byte {
	cache := &c.stores[store]
	if ahead && !cache.prefetched {
		c.prefetch(store)
	}
	entry := cache.entry(slot)
	if entry.kind == entryUnknown {
		value, found := c.host.Get(store, bytesOf(c.keys[slot]))
		if !found {
			entry.kind = entryAbsent
			return nil
		}
		if value == nil {
			value = []byte{}
		}
		entry.kind, entry.value = entryPresent, value
	}
	if entry.kind == entryAbsent {
		return nil
	}
	return entry.value
}

func (s *storeCache) entry(slot int32) *entry {
	for int(slot) >= len(s.entries) {
		s.entries = append(s.entries, entry{})
	}
	return &s.entries[slot]
}

func (c *cache) prefetch(store uint32) {
	core.Clear(&c.keyColumn)
	// No other keys than the batch's: the host may refuse them in a keyed store.
	for _, key := range c.keys[:c.ofBatch] {
		core.Push(&c.keyColumn, bytesOf(key))
	}
	values := c.host.GetMany(store, c.keyColumn)
	cache := &c.stores[store]
	for slot := range c.ofBatch {
		entry := cache.entry(int32(slot))
		// What was written before the first read stays.
		if entry.kind != entryUnknown {
			continue
		}
		entry.kind = entryAbsent
		if value := core.Entry(&values, slot); value != nil {
			entry.kind, entry.value = entryPresent, value
		}
	}
	cache.prefetched = true
}

// buffer answers where a value's bytes are to be appended before it is put.
func (c *cache) buffer(store uint32) []byte { return c.stores[store].written }

// put sets the value at a slot to what was appended to the buffer.
func (c *cache) put(store uint32, slot int32, appended []byte) {
	cache := &c.stores[store]
	start := len(cache.written)
	cache.written = appended
	c.set(store, slot, entryPresent, appended[start:len(appended):len(appended)])
}

// remove removes the value at a slot.
func (c *cache) remove(store uint32, slot int32) {
	c.set(store, slot, entryAbsent, nil)
}

func (c *cache) set(store uint32, slot int32, kind entryKind, value []byte) {
	cache := &c.stores[store]
	at := cache.entry(slot)
	c.undo = append(c.undo, entryUndo{store, slot, *at})
	if !at.dirty {
		cache.dirty = append(cache.dirty, slot)
	}
	*at = entry{kind, true, value}
}

// keep: the record at hand is done, and what it wrote stays.
func (c *cache) keep() { c.undo = c.undo[:0] }

// rollback: the record at hand has failed, and what it wrote is taken back.
func (c *cache) rollback() {
	for i := len(c.undo) - 1; i >= 0; i-- {
		undo := &c.undo[i]
		c.stores[undo.store].entries[undo.slot] = undo.entry
	}
	c.undo = c.undo[:0]
}

// flush hands what was written to the host, and forgets everything.
func (c *cache) flush() {
	for store := range c.stores {
		cache := &c.stores[store]
		if len(cache.dirty) > 0 {
			core.Clear(&c.keyColumn)
			core.Clear(&c.valueColumn)
			for _, slot := range cache.dirty {
				entry := &cache.entries[slot]
				if !entry.dirty {
					continue
				}
				entry.dirty = false
				core.Push(&c.keyColumn, bytesOf(c.keys[slot]))
				if entry.kind == entryPresent {
					core.Push(&c.valueColumn, entry.value)
				} else {
					core.Push(&c.valueColumn, nil)
				}
			}
			if len(c.keyColumn.Ends) > 0 {
				c.host.PutMany(uint32(store), c.keyColumn, c.valueColumn)
			}
		}
		clear(cache.entries)
		cache.entries, cache.dirty, cache.prefetched = cache.entries[:0], cache.dirty[:0], false
		cache.written = cache.written[:0]
		if cap(cache.written) > 1<<20 {
			cache.written = nil
		}
	}
	clear(c.keys)
	clear(c.slots)
	clear(c.undo[:cap(c.undo)])
	c.keys, c.ofRecord, c.interned, c.source = c.keys[:0], c.ofRecord[:0], false, nil
	c.undo = c.undo[:0]
}

// bytesOf answers a key's bytes without copying them, never nil. They must not be changed.
func bytesOf(text string) []byte {
	if text == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(text), len(text))
}
