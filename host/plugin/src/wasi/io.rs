//! `wasi:io` with an end to waiting: what blocks longer than the call may take is a time-out.

use std::future::Future;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::io::error;
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{StreamError, StreamResult};
use wasmtime_wasi::runtime::in_tokio;
use wasmtime_wasi_io::bindings::wasi::io::{poll as waiting_poll, streams as waiting};
use wasmtime_wasi_io::poll::DynPollable;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use crate::clock::CallClock;
use crate::host::HostData;

pub(super) fn add_to_linker(linker: &mut Linker<HostData>) -> wasmtime::Result<()> {
    error::add_to_linker::<_, Table>(linker, |data| &mut data.wasi().table)?;
    poll::add_to_linker::<_, Timed<'static>>(linker, timed)?;
    streams::add_to_linker::<_, Timed<'static>>(linker, timed)?;
    Ok(())
}

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// The streams of an instance, and how long its call may wait.
pub(super) struct Timed<'a> {
    pub(super) table: &'a mut ResourceTable,
    pub(super) clock: &'a mut CallClock,
}

impl HasData for Timed<'static> {
    type Data<'a> = Timed<'a>;
}

fn timed(data: &mut HostData) -> Timed<'_> {
    let (wasi, clock) = data.wasi_and_clock();
    Timed {
        table: &mut wasi.table,
        clock,
    }
}

/// Waits, as long as the call may last.
pub(super) fn within<T>(clock: &mut CallClock, waiting: impl Future<Output = T>) -> wasmtime::Result<T> {
    let left = clock.wall_left();
    in_tokio(async { tokio::time::timeout(left, waiting).await }).map_err(|_| clock.waited_too_long())
}

fn stream<T>(clock: &mut CallClock, waiting: impl Future<Output = StreamResult<T>>) -> StreamResult<T> {
    within(clock, waiting).map_err(StreamError::Trap)?
}

impl poll::Host for Timed<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        within(self.clock, waiting_poll::Host::poll(self.table, pollables))?
    }
}

impl poll::HostPollable for Timed<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        within(self.clock, waiting_poll::HostPollable::ready(self.table, pollable))?
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        within(self.clock, waiting_poll::HostPollable::block(self.table, pollable))?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        waiting_poll::HostPollable::drop(self.table, pollable)
    }
}

impl streams::Host for Timed<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        streams::Host::convert_stream_error(self.table, error)
    }
}

impl streams::HostInputStream for Timed<'_> {
    fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        within(self.clock, waiting::HostInputStream::drop(self.table, stream))?
    }

    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        waiting::HostInputStream::read(self.table, stream, len)
    }

    fn blocking_read(&mut self, of: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        stream(self.clock, waiting::HostInputStream::blocking_read(self.table, of, len))
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        waiting::HostInputStream::skip(self.table, stream, len)
    }

    fn blocking_skip(&mut self, of: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        stream(self.clock, waiting::HostInputStream::blocking_skip(self.table, of, len))
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        waiting::HostInputStream::subscribe(self.table, stream)
    }
}

impl streams::HostOutputStream for Timed<'_> {
    fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        within(self.clock, waiting::HostOutputStream::drop(self.table, stream))?
    }

    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        waiting::HostOutputStream::check_write(self.table, stream)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        waiting::HostOutputStream::write(self.table, stream, bytes)
    }

    fn blocking_write_and_flush(&mut self, to: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        stream(
            self.clock,
            waiting::HostOutputStream::blocking_write_and_flush(self.table, to, bytes),
        )
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        waiting::HostOutputStream::flush(self.table, stream)
    }

    fn blocking_flush(&mut self, of: Resource<DynOutputStream>) -> StreamResult<()> {
        stream(self.clock, waiting::HostOutputStream::blocking_flush(self.table, of))
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        waiting::HostOutputStream::subscribe(self.table, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        waiting::HostOutputStream::write_zeroes(self.table, stream, len)
    }

    fn blocking_write_zeroes_and_flush(&mut self, to: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        stream(
            self.clock,
            waiting::HostOutputStream::blocking_write_zeroes_and_flush(self.table, to, len),
        )
    }

    fn splice(&mut self, to: Resource<DynOutputStream>, from: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        waiting::HostOutputStream::splice(self.table, to, from, len)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        stream(
            self.clock,
            waiting::HostOutputStream::blocking_splice(self.table, to, from, len),
        )
    }
}
