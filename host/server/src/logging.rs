//! Logs: text on standard error, or one JSON object per line with `--json`.

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Above;

/// Sets the process's log up. `filter` is a level or a list such as `info,wasmill_kafka=debug`. A
/// plain level is about Wasmill: libraries say no more than warnings then.
///
/// # Errors
/// A filter that does not parse.
pub(crate) fn start(output: Output, filter: &str) -> Result<(), Failure> {
    let own = match filter {
        // The client repeats "all brokers are down" many times a millisecond; why a broker cannot be
        // reached is said once, and what is done about it by us.
        "error" | "warn" => format!("{filter},rdkafka=off"),
        "info" | "debug" | "trace" => format!("warn,rdkafka=off,wasmill={filter}"),
        other => other.to_owned(),
    };
    let parsed = EnvFilter::try_new(own).map_err(|e| {
        Failure::usage(
            format!("`{filter}` is not a log filter: {e}"),
            "write a level (error, warn, info, debug, trace) or a list such as `info,wasmill_kafka=debug`",
        )
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(|| Above);
    let started = if output.is_json() {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(output.colors()).with_target(false).try_init()
    };
    // A second start in one process changes nothing: the first one's log goes on.
    started.or(Ok(()))
}
