//! WASI for what is granted, on the implementation of wasmtime.
//!
//! Only interfaces that a grant opens are linked, so that what is not granted is not there. What
//! blocks counts against the wall clock of the call: [`io`] and [`files`].

mod files;
mod http;
mod io;
mod stdio;

use record::grant::{Grant, Origin};
use record::topology::Limits;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings as http_bindings;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::clock::CallClock;
use crate::host::log::Rate;
use crate::host::{HostData, HostError, Names};
use http::Outgoing;
use stdio::Lines;

/// Random bytes that one call to the host may ask for.
const RANDOM_BYTES_MAX: u64 = 1 << 20;
/// Handles of what is granted that an instance holds at once. Behind each may be a file of the process, or a
/// buffer in its memory, which no other limit of the instance sees.
pub(crate) const HANDLES_MAX: usize = 1024;
/// Names and values of the headers of one request or answer, in bytes.
const HTTP_FIELDS_BYTES_MAX: usize = 32 << 10;

/// What an instance holds of WASI.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outgoing: Outgoing,
}

impl Wasi {
    /// Of a transform with this grant.
    pub(crate) fn new(grant: &Grant, names: &Names, limits: &Limits, rate: &Rate) -> wasmtime::Result<Self> {
        let mut builder = WasiCtx::builder();
        builder
            .max_random_size(RANDOM_BYTES_MAX)
            .stdout(Lines::new(names, rate, tracing::Level::INFO))
            .stderr(Lines::new(names, rate, tracing::Level::WARN));
        for name in grant.env.iter().flatten() {
            // One that is not set, or is no UTF-8, is not set in the plugin.
            if let Ok(value) = std::env::var(name) {
                builder.env(name, value);
            }
        }
        for dir in grant.dirs.iter().flatten() {
            let perms = if dir.write {
                FsPerms::ReadWrite
            } else {
                FsPerms::ReadOnly
            };
            builder
                .preopened_dir(&dir.host, &dir.guest, perms)
                .map_err(|error| error.context(format!("the granted directory {}", dir.host.display())))?;
        }
        let http = grant.http.clone().unwrap_or_default();
        Ok(Self::with(builder.build(), http, limits.handles))
    }

    /// With nothing behind it: for an instance that only describes itself.
    fn nothing() -> Self {
        let ctx = WasiCtx::builder().max_random_size(RANDOM_BYTES_MAX).build();
        Self::with(ctx, Vec::new(), HANDLES_MAX)
    }

    fn with(ctx: WasiCtx, granted: Vec<Origin>, handles: usize) -> Self {
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HTTP_FIELDS_BYTES_MAX);
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles.min(HANDLES_MAX));
        Self {
            ctx,
            http,
            table,
            outgoing: Outgoing::new(granted),
        }
    }
}

impl HostData {
    fn wasi(&mut self) -> &mut Wasi {
        self.wasi_and_clock().0
    }

    fn wasi_and_clock(&mut self) -> (&mut Wasi, &mut CallClock) {
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::nothing()));
        (wasi, &mut self.clock)
    }
}

impl WasiView for HostData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView {
            ctx: &mut wasi.ctx,
            table: &mut wasi.table,
        }
    }
}

impl WasiHttpView for HostData {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let wasi = self.wasi();
        WasiHttpCtxView {
            ctx: &mut wasi.http,
            table: &mut wasi.table,
            hooks: &mut wasi.outgoing,
        }
    }
}

/// Links what a grant opens.
pub(crate) fn add_to_linker(linker: &mut Linker<HostData>, grant: &Grant) -> wasmtime::Result<()> {
    if grant.is_empty() {
        return Ok(());
    }
    io::add_to_linker(linker)?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, HostData::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(linker, HostData::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(linker, HostData::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, HostData::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, HostData::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, HostData::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, HostData::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, HostData::cli)?;
    cli::exit::add_to_linker::<_, ExitIsATrap>(linker, |_| ExitIsATrap)?;
    if grant.env.is_some() {
        cli::environment::add_to_linker::<_, WasiCli>(linker, HostData::cli)?;
    }
    if grant.clocks {
        clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, HostData::clocks)?;
        clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, HostData::clocks)?;
    }
    if grant.random {
        random::random::add_to_linker::<_, WasiRandom>(linker, |data| data.ctx().ctx.random())?;
        random::insecure::add_to_linker::<_, WasiRandom>(linker, |data| data.ctx().ctx.random())?;
        random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, |data| data.ctx().ctx.random())?;
    }
    if grant.dirs.is_some() {
        filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, HostData::filesystem)?;
        files::add_to_linker(linker)?;
    }
    if grant.http.is_some() {
        let options = http_bindings::LinkOptions::default();
        http_bindings::sync::http::outgoing_handler::add_to_linker::<_, WasiHttp>(linker, HostData::http)?;
        http_bindings::sync::http::types::add_to_linker::<_, WasiHttp>(linker, &options.into(), HostData::http)?;
    }
    Ok(())
}

/// `wasi:cli/exit`: a plugin that wants to end the process ends its call.
struct ExitIsATrap;

impl wasmtime::component::HasData for ExitIsATrap {
    type Data<'a> = Self;
}

impl cli::exit::Host for ExitIsATrap {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        self.exit_with_code(u8::from(status.is_err()))
    }

    fn exit_with_code(&mut self, code: u8) -> wasmtime::Result<()> {
        let message = format!("it called `exit` with {code}");
        Err(wasmtime::Error::new(HostError::Exit(message)))
    }
}
