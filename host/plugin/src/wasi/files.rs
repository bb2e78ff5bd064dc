//! `wasi:filesystem` with an end to waiting: opening a pipe that nobody writes to, or a file on a
//! server that does not answer, is a time-out. The file's operations run on a thread of their own,
//! which is left behind.

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types as waiting;
use wasmtime_wasi::p2::bindings::sync::filesystem::types;
use wasmtime_wasi::p2::{FsError, FsResult};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::io::within;
use crate::clock::CallClock;
use crate::host::HostData;

pub(super) fn add_to_linker(linker: &mut Linker<HostData>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, Files<'static>>(linker, files)
}

/// The files of an instance, and how long its call may wait.
struct Files<'a> {
    view: WasiFilesystemCtxView<'a>,
    clock: &'a mut CallClock,
}

impl HasData for Files<'static> {
    type Data<'a> = Files<'a>;
}

fn files(data: &mut HostData) -> Files<'_> {
    let (wasi, clock) = data.wasi_and_clock();
    Files {
        view: WasiFilesystemCtxView {
            ctx: wasi.ctx.filesystem(),
            table: &mut wasi.table,
        },
        clock,
    }
}

impl types::Host for Files<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        types::Host::convert_error_code(&mut self.view, error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        types::Host::filesystem_error_code(&mut self.view, error)
    }
}

/// Each of these is the function of the same name that may wait.
macro_rules! within_the_call {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {$(
        fn $name(&mut self, $($argument: $kind),*) -> FsResult<$answer> {
            let waiting = waiting::HostDescriptor::$name(&mut self.view, $($argument.into()),*);
            let answer = within(self.clock, waiting).map_err(FsError::trap)??;
            Ok(answer.into())
        }
    )*};
}

#[allow(
    clippy::useless_conversion,
    clippy::unit_arg,
    reason = "the functions that wait have the same types, made twice"
)]
impl types::HostDescriptor for Files<'_> {
    within_the_call! {
        fn advise(file: Resource<Descriptor>, offset: u64, len: u64, advice: types::Advice) -> ();
        fn sync_data(file: Resource<Descriptor>) -> ();
        fn get_flags(file: Resource<Descriptor>) -> types::DescriptorFlags;
        fn get_type(file: Resource<Descriptor>) -> types::DescriptorType;
        fn set_size(file: Resource<Descriptor>, size: u64) -> ();
        fn set_times(file: Resource<Descriptor>, read: types::NewTimestamp, written: types::NewTimestamp) -> ();
        fn read(file: Resource<Descriptor>, len: u64, offset: u64) -> (Vec<u8>, bool);
        fn write(file: Resource<Descriptor>, bytes: Vec<u8>, offset: u64) -> u64;
        fn read_directory(file: Resource<Descriptor>) -> Resource<types::DirectoryEntryStream>;
        fn sync(file: Resource<Descriptor>) -> ();
        fn create_directory_at(dir: Resource<Descriptor>, path: String) -> ();
        fn stat(file: Resource<Descriptor>) -> types::DescriptorStat;
        fn stat_at(dir: Resource<Descriptor>, how: types::PathFlags, path: String) -> types::DescriptorStat;
        fn set_times_at(
            dir: Resource<Descriptor>,
            how: types::PathFlags,
            path: String,
            read: types::NewTimestamp,
            written: types::NewTimestamp
        ) -> ();
        fn link_at(
            dir: Resource<Descriptor>,
            how: types::PathFlags,
            path: String,
            other: Resource<Descriptor>,
            other_path: String
        ) -> ();
        fn open_at(
            dir: Resource<Descriptor>,
            how: types::PathFlags,
            path: String,
            open: types::OpenFlags,
            flags: types::DescriptorFlags
        ) -> Resource<Descriptor>;
        fn readlink_at(dir: Resource<Descriptor>, path: String) -> String;
        fn remove_directory_at(dir: Resource<Descriptor>, path: String) -> ();
        fn rename_at(
            dir: Resource<Descriptor>,
            path: String,
            other: Resource<Descriptor>,
            other_path: String
        ) -> ();
        fn symlink_at(dir: Resource<Descriptor>, to: String, path: String) -> ();
        fn unlink_file_at(dir: Resource<Descriptor>, path: String) -> ();
        fn metadata_hash(file: Resource<Descriptor>) -> types::MetadataHashValue;
        fn metadata_hash_at(
            dir: Resource<Descriptor>,
            how: types::PathFlags,
            path: String
        ) -> types::MetadataHashValue;
    }

    fn is_same_object(&mut self, a: Resource<Descriptor>, b: Resource<Descriptor>) -> wasmtime::Result<bool> {
        within(
            self.clock,
            waiting::HostDescriptor::is_same_object(&mut self.view, a, b),
        )?
    }

    fn read_via_stream(&mut self, file: Resource<Descriptor>, offset: u64) -> FsResult<Resource<DynInputStream>> {
        waiting::HostDescriptor::read_via_stream(&mut self.view, file, offset)
    }

    fn write_via_stream(&mut self, file: Resource<Descriptor>, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        waiting::HostDescriptor::write_via_stream(&mut self.view, file, offset)
    }

    fn append_via_stream(&mut self, file: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        waiting::HostDescriptor::append_via_stream(&mut self.view, file)
    }

    fn drop(&mut self, file: Resource<Descriptor>) -> wasmtime::Result<()> {
        waiting::HostDescriptor::drop(&mut self.view, file)
    }
}

impl types::HostDirectoryEntryStream for Files<'_> {
    fn read_directory_entry(
        &mut self,
        entries: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        let waiting = waiting::HostDirectoryEntryStream::read_directory_entry(&mut self.view, entries);
        let entry = within(self.clock, waiting).map_err(FsError::trap)??;
        Ok(entry.map(Into::into))
    }

    fn drop(&mut self, entries: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        waiting::HostDirectoryEntryStream::drop(&mut self.view, entries)
    }
}
