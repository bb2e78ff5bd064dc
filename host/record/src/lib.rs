//! The nouns of Wasmill and the contracts between its parts. No I/O happens here.
//!
//! Data is columnar everywhere: a [`Batch`] holds the records of one topic partition in flat
//! columns, from the consumer through the transforms to the producer.
//!
//! | contract | who implements it | who calls it |
//! |---|---|---|
//! | [`log::Log`], [`log::Session`], [`log::Reader`] | `kafka`, `embedded` | `task`, `server` |
//! | [`appender::Appender`] | `kafka`, `embedded` | `sources`: what comes by HTTP |
//! | [`source::Source`] | `sources` | `task`, on the worker that owns partition 0 |
//! | [`transform::Transform`] | `plugin` | `task`, on its worker's thread |
//! | [`store::Store`], [`store::TaskState`] | `state` | `task`, through `transform` too |
//! | [`store::StateView`] | `state` | `server`, and queries in `plugin`, beside the task |
//! | [`sink::Sink`] | `sinks` | `task`, in deliver tasks |

pub mod appender;
pub mod batch;
pub mod column;
pub mod error;
pub mod grant;
pub mod headers;
pub mod log;
pub mod offset;
pub mod origin;
pub mod partitioner;
pub mod secret;
pub mod sink;
pub mod source;
pub mod store;
pub mod template;
pub mod timer;
pub mod topology;
pub mod trace;
pub mod transform;
pub mod view;

pub use batch::Batch;
pub use column::Column;
pub use headers::Headers;
pub use offset::{NextOffset, RecordOffset, TopicPartition};
pub use secret::Secret;
