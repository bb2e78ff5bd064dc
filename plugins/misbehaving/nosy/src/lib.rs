//! Uses whatever WASI it is granted, to test the host. A value says what: `env LANG`, `clock`,
//! `random 8`, `read a/b`, `write a/b text`, `list a`, `get http://host/path`, `sleep 1000`, `wait`,
//! `print text`, `leak`, `hoard 9`, `exit`. What it finds, or the error that it was answered with, is the output.

use std::fmt::Debug;

use wasip2::cli::{environment, stdout};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;
use wasmill_sdk::prelude::*;

struct Nosy;

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {}

impl Plugin for Nosy {
    type Config = Config;

    fn about() -> About {
        About::new("nosy", env!("CARGO_PKG_VERSION"))
            .doc("Uses whatever WASI it is granted")
            .port(Port::new("out", "What it found"))
    }

    fn new(_: Config) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let text = record.value_str()?;
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let found = match verb {
            "env" => {
                let all = environment::get_environment();
                let found = all.into_iter().find(|(name, _)| name == rest);
                found.map_or_else(|| "not set".to_owned(), |(_, value)| value)
            }
            "clock" => format!("{} {}", wall_clock::now().seconds, monotonic_clock::now()),
            "random" => {
                let bytes = wasip2::random::random::get_random_bytes(rest.parse().unwrap_or(8));
                bytes.len().to_string()
            }
            "read" => shown(read(rest)),
            "write" => {
                let (path, text) = rest.split_once(' ').unwrap_or((rest, ""));
                shown(write(path, text).map(|()| "written".to_owned()))
            }
            "link" => {
                let (to, path) = rest.split_once(' ').unwrap_or((rest, ""));
                shown(root().and_then(|dir| dir.symlink_at(to, path).map(|()| "linked".to_owned())))
            }
            "get" => get(rest).unwrap_or_else(|error| error),
            "sleep" => {
                let ms: u64 = rest.parse().unwrap_or(0);
                monotonic_clock::subscribe_duration(ms.saturating_mul(1_000_000)).block();
                "slept".to_owned()
            }
            "print" => {
                let line = format!("{rest}\n");
                shown(
                    stdout::get_stdout()
                        .blocking_write_and_flush(line.as_bytes())
                        .map(|()| "printed".to_owned()),
                )
            }
            "leak" => loop {
                std::mem::forget(monotonic_clock::subscribe_duration(0));
            },
            "hoard" => {
                for _ in 0..rest.parse().unwrap_or(1) {
                    std::mem::forget(unsent_request()?);
                }
                "hoarded".to_owned()
            }
            "exit" => {
                wasip2::cli::exit::exit(Err(()));
                unreachable!("the call has ended")
            }
            other => format!("no such thing: {other}"),
        };
        ctx.emit(found)
    }
}

fn shown<E: Debug>(answer: std::result::Result<String, E>) -> String {
    answer.unwrap_or_else(|error| format!("{error:?}"))
}

fn root() -> std::result::Result<Descriptor, ErrorCode> {
    let mut dirs = preopens::get_directories();
    if dirs.is_empty() {
        return Err(ErrorCode::NoEntry);
    }
    Ok(dirs.swap_remove(0).0)
}

fn read(path: &str) -> std::result::Result<String, ErrorCode> {
    let file = root()?.open_at(
        PathFlags::SYMLINK_FOLLOW,
        path,
        OpenFlags::empty(),
        DescriptorFlags::READ,
    )?;
    let (bytes, _) = file.read(1 << 16, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(path: &str, text: &str) -> std::result::Result<(), ErrorCode> {
    let file = root()?.open_at(
        PathFlags::SYMLINK_FOLLOW,
        path,
        OpenFlags::CREATE,
        DescriptorFlags::WRITE,
    )?;
    file.write(text.as_bytes(), 0).map(drop)
}

/// A request whose body is as full as it gets.
fn unsent_request() -> Result<OutgoingRequest> {
    let request = OutgoingRequest::new(Fields::new());
    let body = request.body().map_err(|()| Error::new("body", "taken twice"))?;
    let stream = body.write().map_err(|()| Error::new("body", "taken twice"))?;
    while let Ok(room @ 1..) = stream.check_write() {
        stream
            .write(&vec![1; room as usize])
            .map_err(|error| Error::new("body", format!("{error:?}")))?;
    }
    Ok(request)
}

fn get(url: &str) -> std::result::Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).map_err(|()| "bad scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "bad authority")?;
    request.set_path_with_query(Some(path)).map_err(|()| "bad path")?;
    let answer = outgoing_handler::handle(request, None).map_err(|error| format!("{error:?}"))?;
    answer.subscribe().block();
    let response = answer
        .get()
        .ok_or("no answer")?
        .map_err(|()| "taken twice")?
        .map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let body = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut text = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(bytes) => text.extend(bytes),
            Err(StreamError::Closed) => break,
            Err(error) => return Err(format!("{error:?}")),
        }
    }
    Ok(format!("{status} {}", String::from_utf8_lossy(&text)))
}

wasmill_sdk::export!(Nosy);
