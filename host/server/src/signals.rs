//! SIGINT and SIGTERM: the first asks for a clean shutdown, the second ends the process at once. SIGHUP
//! asks for a reload.

use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Exit, Failure};

/// Calls `stop` on the first SIGINT or SIGTERM. The second one exits with code 1: what was not
/// committed is read again at the next start. Calls `reload` on each SIGHUP.
///
/// # Errors
/// The system refuses the handlers.
pub(crate) fn listen(
    stop: impl FnOnce(&'static str) + Send + 'static,
    reload: impl Fn() + Send + 'static,
) -> Result<(), Failure> {
    let refused = |source| Failure::Stdio {
        doing: "listen for signals",
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(refused)?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt()).map_err(refused)?,
            signal(SignalKind::terminate()).map_err(refused)?,
            signal(SignalKind::hangup()).map_err(refused)?,
        )
    };
    let wait = move || {
        runtime.block_on(async move {
            let mut stop = Some(stop);
            loop {
                let name = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                    _ = hangup.recv() => {
                        reload();
                        continue;
                    }
                };
                match stop.take() {
                    Some(stop) => stop(name),
                    None => std::process::exit(Exit::Failed as i32),
                }
            }
        });
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map(|_| ())
        .map_err(refused)
}
