//! Keyed state: what a transform has stored, per task.
//!
//! | file | what it holds |
//! |---|---|
//! | `keyed.rs` | [`record::store::TaskState`]: reads, writes, restore and commit of one transform on one partition |
//! | `dirty.rs` | the keys in memory: what is dirty, what is cached |
//! | `undo.rs` | savepoints |
//! | `timers.rs` | timers, as entries of a store of their own |
//! | `merge.rs` | scans over dirty keys and the store |
//! | `codec.rs` | the bytes of changelog records and checkpoints |
//! | `disk.rs`, `disk_store.rs` | local stores on disk (fjall) |
//! | `memory.rs` | local stores in memory |
//! | `view.rs`, `disk_shown.rs` | reads from outside the task |
//!
//! The changelog is the truth, a local store is a copy of it that saves reading it all at every
//! start. docs/state.md tells users of limits, memory and what happens when files are damaged.

mod codec;
mod dirty;
mod disk;
mod disk_shown;
mod disk_store;
mod keyed;
mod memory;
mod merge;
mod timers;
mod undo;
mod view;

pub use disk::DiskBackend;
pub use memory::MemoryBackend;

/// The longest key that a transform may store, in bytes. A local store's own limit is 65,535, the
/// name of the transform's store included.
pub const KEY_BYTES_MAX: usize = 64_000;
/// The largest value that a transform may store, in bytes.
pub const VALUE_BYTES_MAX: usize = 8 << 20;
