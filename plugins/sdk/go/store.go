package wasmill

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// Store is a [Keyed] or [Shared] store, for [About.Stores].
type Store interface{ spec() *storeSpec }

type storeSpec struct {
	name, doc, format string
	keyed             bool
	// Its place in About.Stores, once listed there.
	id     uint32
	listed bool
}

func (s *storeSpec) spec() *storeSpec { return s }

// Name answers the store's name.
func (s *storeSpec) Name() string { return s.name }

// check answers whether the plugin may use the store.
func (s *storeSpec) check() error {
	if !s.listed {
		return Errorf("error", "the store `%s` is not in About.Stores", s.name)
	}
	return nil
}

// Format is how values of a type are written. Those here are [JSON], [U64LE], [S64LE], [F64LE], [UTF8] and
// [Bytes]; a plugin may have its own.
type Format[T any] interface {
	// Name is `bytes`, `utf8`, `json`, `s64-le`, `u64-le` or `f64-le`: for people and other languages.
	Name() string
	// Append appends a value's bytes.
	Append(to []byte, value T) ([]byte, error)
	// Read reads a value. It must copy what it keeps of the bytes.
	Read(data []byte) (T, error)
}

// StoreOf is a [Keyed] or [Shared] store with values of a type: what packages queries and migration read and
// write, by the store's name and under any key.
type StoreOf[T any] interface {
	Store
	// Name answers the store's name.
	Name() string
	// Encode answers a value's bytes. The error is that of the format.
	Encode(value T) ([]byte, error)
	// Decode reads a value's bytes. The error is `bad-state`.
	Decode(data []byte) (T, error)
}

// Keyed is a store with one value per record key: what it gets and puts is that of the record (or timer) at
// hand. Make it once, as a variable of the package, and list it in [About.Stores].
type Keyed[T any] struct {
	storeSpec
	format Format[T]
}

// NewKeyed makes a store by its name (kebab-case), one sentence for people and the format of its values.
func NewKeyed[T any](name, doc string, format Format[T]) *Keyed[T] {
	return &Keyed[T]{storeSpec{name: name, doc: doc, format: format.Name(), keyed: true}, format}
}

// Get answers what is stored under the record's key; false when nothing is. The errors are `no-key` and
// `bad-state`.
func (s *Keyed[T]) Get(ctx *Context) (value T, found bool, err error) {
	slot, err := s.slot(ctx)
	if err != nil {
		return value, false, err
	}
	return read(&s.storeSpec, s.format, ctx.cache.get(s.id, slot, true))
}

// Put stores a value under the record's key. The error is `no-key`, or that of the format.
func (s *Keyed[T]) Put(ctx *Context, value T) error {
	slot, err := s.slot(ctx)
	if err != nil {
		return err
	}
	return put(ctx, &s.storeSpec, s.format, slot, value)
}

// Remove removes what is stored under the record's key. The error is `no-key`.
func (s *Keyed[T]) Remove(ctx *Context) error {
	slot, err := s.slot(ctx)
	if err != nil {
		return err
	}
	ctx.cache.remove(s.id, slot)
	return nil
}

// Encode answers the bytes that a value is stored as. The error is that of the format.
func (s *Keyed[T]) Encode(value T) ([]byte, error) { return s.format.Append([]byte{}, value) }

// Decode reads what is stored. The error is `bad-state`.
func (s *Keyed[T]) Decode(data []byte) (T, error) { return decode(&s.storeSpec, s.format, data) }

func (s *Keyed[T]) slot(ctx *Context) (int32, error) {
	if err := s.check(); err != nil {
		return noSlot, err
	}
	slot := ctx.cache.slotOfRecord(ctx.index)
	if slot == noSlot {
		return noSlot, errNoKey()
	}
	return slot, nil
}

// Shared is a store that is used under any key, and belongs to the task's partition. Make it once, as a
// variable of the package, and list it in [About.Stores].
type Shared[T any] struct {
	storeSpec
	format Format[T]
}

// NewShared makes a store by its name (kebab-case), one sentence for people and the format of its values.
func NewShared[T any](name, doc string, format Format[T]) *Shared[T] {
	return &Shared[T]{storeSpec{name: name, doc: doc, format: format.Name()}, format}
}

// Get answers what is stored under a key; false when nothing is. The error is `bad-state`.
func (s *Shared[T]) Get(ctx *Context, key []byte) (value T, found bool, err error) {
	if err := s.check(); err != nil {
		return value, false, err
	}
	return read(&s.storeSpec, s.format, ctx.cache.get(s.id, ctx.cache.slotOfKey(key), false))
}

// Put stores a value under a key. The error is that of the format.
func (s *Shared[T]) Put(ctx *Context, key []byte, value T) error {
	if err := s.check(); err != nil {
		return err
	}
	return put(ctx, &s.storeSpec, s.format, ctx.cache.slotOfKey(key), value)
}

// Remove removes what is stored under a key.
func (s *Shared[T]) Remove(ctx *Context, key []byte) error {
	if err := s.check(); err != nil {
		return err
	}
	ctx.cache.remove(s.id, ctx.cache.slotOfKey(key))
	return nil
}

// Encode answers the bytes that a value is stored as. The error is that of the format.
func (s *Shared[T]) Encode(value T) ([]byte, error) { return s.format.Append([]byte{}, value) }

// Decode reads what is stored. The error is `bad-state`.
func (s *Shared[T]) Decode(data []byte) (T, error) { return decode(&s.storeSpec, s.format, data) }

func read[T any](spec *storeSpec, format Format[T], data []byte) (value T, found bool, err error) {
	if data == nil {
		return value, false, nil
	}
	value, err = decode(spec, format, data)
	return value, err == nil, err
}

func decode[T any](spec *storeSpec, format Format[T], data []byte) (T, error) {
	value, err := format.Read(data)
	if err != nil {
		return value, Errorf("bad-state",
			"what is stored in `%s` cannot be read: %w; has the plugin changed its format?", spec.name, err)
	}
	return value, nil
}

func put[T any](ctx *Context, spec *storeSpec, format Format[T], slot int32, value T) error {
	cache := ctx.cache
	data, err := format.Append(cache.buffer(spec.id), value)
	if err != nil {
		return err
	}
	cache.put(spec.id, slot, data)
	return nil
}

// Formats of numbers, as eight little-endian bytes.
var (
	U64LE Format[uint64]  = u64LE{}
	S64LE Format[int64]   = s64LE{}
	F64LE Format[float64] = f64LE{}
)

// UTF8 stores text.
var UTF8 Format[string] = utf8Format{}

// Bytes stores bytes as they are.
var Bytes Format[[]byte] = bytesFormat{}

type (
	u64LE       struct{}
	s64LE       struct{}
	f64LE       struct{}
	utf8Format  struct{}
	bytesFormat struct{}
)

func (u64LE) Name() string { return "u64-le" }
func (u64LE) Append(to []byte, value uint64) ([]byte, error) {
	return binary.LittleEndian.AppendUint64(to, value), nil
}
func (u64LE) Read(data []byte) (uint64, error) { return eight(data) }

func (s64LE) Name() string { return "s64-le" }
func (s64LE) Append(to []byte, value int64) ([]byte, error) {
	return binary.LittleEndian.AppendUint64(to, uint64(value)), nil
}
func (s64LE) Read(data []byte) (int64, error) {
	number, err := eight(data)
	return int64(number), err
}

func (f64LE) Name() string { return "f64-le" }
func (f64LE) Append(to []byte, value float64) ([]byte, error) {
	return binary.LittleEndian.AppendUint64(to, math.Float64bits(value)), nil
}
func (f64LE) Read(data []byte) (float64, error) {
	number, err := eight(data)
	return math.Float64frombits(number), err
}

func (utf8Format) Name() string { return "utf8" }
func (utf8Format) Append(to []byte, value string) ([]byte, error) {
	if !utf8.ValidString(value) {
		return to, Errorf("bad-utf8", "the text to store is no UTF-8")
	}
	return append(to, value...), nil
}
func (utf8Format) Read(data []byte) (string, error) {
	if !utf8.Valid(data) {
		return "", Errorf("bad-state", "it is no UTF-8")
	}
	return string(data), nil
}

func (bytesFormat) Name() string { return "bytes" }
func (bytesFormat) Append(to []byte, value []byte) ([]byte, error) {
	return append(to, value...), nil
}
func (bytesFormat) Read(data []byte) ([]byte, error) {
	return append([]byte{}, data...), nil
}

func eight(data []byte) (uint64, error) {
	if len(data) != 8 {
		return 0, Errorf("bad-state", "%d bytes, not 8", len(data))
	}
	return binary.LittleEndian.Uint64(data), nil
}
