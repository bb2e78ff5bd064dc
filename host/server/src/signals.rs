//! SIGINT and SIGTERM: the first asks for a clean shutdown, the second ends the process at once.

use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Exit, Failure};

/// Calls `stop` on the first SIGINT or SIGTERM. The second one exits with code 1: what was not
/// committed is read again at the next start.
///
/// # Errors
/// The system refuses the handlers.
pub(crate) fn listen(stop: impl FnOnce(&'static str) + Send + 'static) -> Result<(), Failure> {
    let refused = |source| Failure::Stdio {
        doing: "listen for signals",
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(refused)?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt()).map_err(refused)?,
            signal(SignalKind::terminate()).map_err(refused)?,
        )
    };
    let wait = move || {
        runtime.block_on(async move {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            stop(name);
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(Exit::Failed as i32);
        });
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map(|_| ())
        .map_err(refused)
}
