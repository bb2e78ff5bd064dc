//! Write Wasmill plugins in Rust: one method per record, typed state, errors by `?`.
//!
//! ```
//! use wasmill_sdk::prelude::*;
//!
//! const COUNT: Store<u64> = Store::keyed(0, "count", "How often each word was seen");
//!
//! struct WordCount;
//!
//! impl Plugin for WordCount {
//!     type Config = NoConfig;
//!     fn about() -> About {
//!         About::new("word_count", env!("CARGO_PKG_VERSION")).store(COUNT)
//!     }
//!     fn new(_: NoConfig) -> Result<Self, Problems> {
//!         Ok(Self)
//!     }
//!     fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
//!         let count = ctx.get(COUNT)?.unwrap_or(0) + 1;
//!         ctx.put(COUNT, &count)?;
//!         ctx.emit(Json(serde_json::json!({ "word": record.key_str()?, "count": count })))
//!     }
//! }
//!
//! wasmill_sdk::export!(WordCount);
//! # fn main() {}
//! ```
//!
//! The crate is a `cdylib`; `wasmill build DIR` turns it into a component. What a record's method
//! stored, set and emitted is dropped when it answers with an error, and the record fails alone.
//! Results must not depend on how records are cut into batches, so keep in `self` only what comes
//! from the configuration; state belongs into a [`Store`].
//!
//! A plugin that says [`About::sets_timers`] can ask to be called back: [`Context::set_timer`] sets a
//! timer by its name under the record's key, and [`Plugin::on_timer`] runs when the watermark has come
//! to its time; [`Context::set_wall_timer`] waits for the clock on the wall. The shipped plugin
//! `sessions` is an example.
//!
//! A plugin that has [`Queries`] and is exported by `export!(MyPlugin, queries)` answers questions about
//! its state through the API, while records flow; `popularity` is an example.

mod about;
mod cache;
mod column;
mod context;
mod error;
mod host;
pub mod metrics;
mod migration;
mod output;
mod parents;
mod query;
mod record;
pub mod runtime;
mod store;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod timer;

pub use about::{About, Port};
pub use bindings::wasmill::plugin::types::Clock;
pub use context::Context;
pub use error::{Error, NoConfig, Problem, Problems, Result};
pub use host::Level;
pub use migration::{Migrates, Migration};
pub use output::{Inherit, Json, Output, Payload, Tombstone, Written};
pub use query::{Answer, Entries, Queries, Query, Reader};
pub use record::{Origin, Record};
pub use store::{Format, Packed, Serde, Store};
pub use timer::Timer;

/// What a plugin usually needs.
pub mod prelude {
    pub use crate::{
        About, Context, Error, Json, Level, NoConfig, Output, Plugin, Port, Problem, Problems, Record, Result, Store,
        Timer,
    };
}

/// What `wit-bindgen` makes of the contract in `wit/`.
#[allow(missing_docs, unsafe_code, clippy::all, clippy::pedantic)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "timed-transform",
        pub_export_macro: true,
        default_bindings_module: "wasmill_sdk::bindings",
    });
}

/// What `wit-bindgen` makes of the world `query`.
#[allow(missing_docs, unsafe_code, clippy::all, clippy::pedantic)]
pub mod query_bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "query",
        pub_export_macro: true,
        export_macro_name: "export_query",
        default_bindings_module: "wasmill_sdk::query_bindings",
        with: {
            "wasmill:plugin/types@0.1.2": crate::bindings::wasmill::plugin::types,
            "wasmill:plugin/state@0.1.2": crate::bindings::wasmill::plugin::state,
        },
    });
}

/// What `wit-bindgen` makes of the world `migrate`.
#[allow(missing_docs, unsafe_code, clippy::all, clippy::pedantic)]
pub mod migrate_bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "migrate",
        pub_export_macro: true,
        export_macro_name: "export_migrate",
        default_bindings_module: "wasmill_sdk::migrate_bindings",
        with: {
            "wasmill:plugin/types@0.1.2": crate::bindings::wasmill::plugin::types,
            "wasmill:plugin/state@0.1.2": crate::bindings::wasmill::plugin::state,
        },
    });
}

/// A plugin: what it says of itself, and what it does with one record and one timer.
pub trait Plugin: Sized + 'static {
    /// The transform's config table; `Default` when the table is empty. [`NoConfig`] for none.
    /// `#[serde(default, deny_unknown_fields)]` finds misspelt options.
    type Config: serde::de::DeserializeOwned + Default;

    /// Name, version, ports and stores. Always the same.
    fn about() -> About;

    /// Makes an instance. Called once per instance, before its first record.
    ///
    /// # Errors
    /// What is wrong in the configuration, each with its place.
    fn new(config: Self::Config) -> Result<Self, Problems>;

    /// Runs one record.
    ///
    /// # Errors
    /// The record fails alone; what it stored and emitted is dropped.
    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()>;

    /// Runs one timer that is due; it is no longer set. State is under its key, and outputs inherit
    /// its key and its time. A plugin that says [`About::sets_timers`] has this.
    ///
    /// # Errors
    /// The timer fails alone; what it stored, set and emitted is dropped.
    fn on_timer(&mut self, timer: Timer<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let _ = ctx;
        Err(Error::new(
            "error",
            format!("the timer `{}` fired, but the plugin has no `on_timer`", timer.name()),
        ))
    }
}

/// Exports a [`Plugin`] as the component's: `export!(MyPlugin)`; `export!(MyPlugin, queries)` when it has
/// [`Queries`], `export!(MyPlugin, migrates)` when it has [`Migrates`], `export!(MyPlugin, queries, migrates)` for both.
/// Once per crate.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        $crate::export!(@component $plugin, {});
    };
    ($plugin:ty, queries) => {
        $crate::export!(@component $plugin, { $crate::export_queries!(); });
    };
    ($plugin:ty, migrates) => {
        $crate::export!(@component $plugin, { $crate::export_migrates!(); });
    };
    ($plugin:ty, queries, migrates) => {
        $crate::export!(@component $plugin, {
            $crate::export_queries!();
            $crate::export_migrates!();
        });
    };
    (@component $plugin:ty, { $($more:item)* }) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static RUNTIME: ::core::cell::RefCell<::core::option::Option<$crate::runtime::Runtime<$plugin>>> =
                    const { ::core::cell::RefCell::new(::core::option::Option::None) };
            }

            struct Component;

            impl $crate::bindings::exports::wasmill::plugin::lifecycle::Guest for Component {
                fn describe() -> $crate::bindings::exports::wasmill::plugin::lifecycle::Description {
                    $crate::runtime::describe::<$plugin>()
                }
                fn configure(
                    config: ::std::string::String,
                ) -> ::core::result::Result<
                    (),
                    ::std::vec::Vec<$crate::bindings::exports::wasmill::plugin::lifecycle::Problem>,
                > {
                    let runtime = $crate::runtime::Runtime::<$plugin>::configure(&config)?;
                    RUNTIME.with(|cell| *cell.borrow_mut() = ::core::option::Option::Some(runtime));
                    ::core::result::Result::Ok(())
                }
            }

            impl $crate::bindings::exports::wasmill::plugin::processor::Guest for Component {
                fn process(
                    batch: $crate::bindings::wasmill::plugin::types::Inbound,
                ) -> ::core::result::Result<$crate::bindings::wasmill::plugin::types::Outbound, ::std::string::String>
                {
                    RUNTIME.with(|cell| match cell.borrow_mut().as_mut() {
                        ::core::option::Option::Some(runtime) => ::core::result::Result::Ok(runtime.process(&batch)),
                        ::core::option::Option::None => {
                            ::core::result::Result::Err("the plugin was not configured".into())
                        }
                    })
                }
            }

            impl $crate::bindings::exports::wasmill::plugin::timer_handler::Guest for Component {
                fn on_timers(
                    due: $crate::bindings::wasmill::plugin::types::DueTimers,
                ) -> ::core::result::Result<$crate::bindings::wasmill::plugin::types::Outbound, ::std::string::String>
                {
                    RUNTIME.with(|cell| match cell.borrow_mut().as_mut() {
                        ::core::option::Option::Some(runtime) => ::core::result::Result::Ok(runtime.on_timers(&due)),
                        ::core::option::Option::None => {
                            ::core::result::Result::Err("the plugin was not configured".into())
                        }
                    })
                }
            }

            $($more)*

            $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}

/// A part of [`export!`].
#[doc(hidden)]
#[macro_export]
macro_rules! export_queries {
    () => {
            impl $crate::query_bindings::exports::wasmill::plugin::query_handler::Guest for Component {
                fn answer(
                    request: $crate::query_bindings::exports::wasmill::plugin::query_handler::Request,
                ) -> ::core::result::Result<
                    $crate::query_bindings::exports::wasmill::plugin::query_handler::Response,
                    ::std::string::String,
                > {
                    RUNTIME.with(|cell| match cell.borrow_mut().as_mut() {
                        ::core::option::Option::Some(runtime) => runtime.answer(request),
                        ::core::option::Option::None => {
                            ::core::result::Result::Err("the plugin was not configured".into())
                        }
                    })
                }
            }

            $crate::query_bindings::export_query!(Component with_types_in $crate::query_bindings);
    };
}

/// A part of [`export!`].
#[doc(hidden)]
#[macro_export]
macro_rules! export_migrates {
    () => {
            impl $crate::migrate_bindings::exports::wasmill::plugin::migration_handler::Guest for Component {
                fn migrate(from_version: u32) -> ::core::result::Result<(), ::std::string::String> {
                    RUNTIME.with(|cell| match cell.borrow_mut().as_mut() {
                        ::core::option::Option::Some(runtime) => runtime.migrate(from_version),
                        ::core::option::Option::None => {
                            ::core::result::Result::Err("the plugin was not configured".into())
                        }
                    })
                }
            }

            $crate::migrate_bindings::export_migrate!(Component with_types_in $crate::migrate_bindings);
    };
}
