//! `wasmill run`: one or many pipelines in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use record::topology::Start;
use record::{RecordOffset, TopicPartition};

use super::args::{PipelineArgs, place_of_record, start};
use crate::failure::Failure;
use crate::output::Output;
use crate::supervisor::{self, Listen, Settings};

/// Run pipelines
///
/// Several files are several pipelines in one process; of a directory, all in it. What changes in their
/// files or plugins is reloaded, and so is everything on SIGHUP: what does not check out is refused, and
/// what ran before runs on. SIGINT or SIGTERM ends them cleanly: they commit what they have done and
/// leave their groups; a second signal exits at once.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// The pipelines, or directories of pipelines
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// End when everything that is there now is processed and delivered
    #[arg(long)]
    until_end: bool,
    /// Where to start: earliest, latest, milliseconds since 1970 or a time such as
    /// 2026-11-30T12:00:00Z. Refused where offsets are committed
    #[arg(long, value_name = "WHERE", value_parser = start)]
    from: Option<Start>,
    /// Worker threads, instead of the pipeline's `workers`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Keep local state in DIR/<pipeline>; each process needs its own
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Send one record that stops its partition to the dead letters; may be repeated
    #[arg(long, value_name = "TOPIC:PARTITION:OFFSET", value_parser = place_of_record)]
    skip: Vec<(TopicPartition, RecordOffset)>,
    /// Where the HTTP API listens: `ADDRESS:PORT`, or `off` [default: 127.0.0.1:7077 if that is free, and
    /// off with `--until-end`]
    #[arg(long, value_name = "WHERE", value_parser = listen)]
    listen: Option<Where>,
    /// A file of tokens for the API, needed where other machines reach it
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Send traces to a collector, by OTLP over HTTP: such as http://localhost:4318. Left out:
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, and without that nothing is traced
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Do not look at the files: reload on SIGHUP only
    #[arg(long)]
    no_watch: bool,
    /// How long a clean shutdown may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    shutdown_timeout: u64,
}

/// Where the API listens when nobody says so.
pub(crate) const API_PORT: u16 = 7077;

/// What `--listen` says.
#[derive(Clone, Copy, Debug)]
enum Where {
    Off,
    At(SocketAddr),
}

fn listen(text: &str) -> Result<Where, String> {
    match text {
        "off" => Ok(Where::Off),
        other => other
            .parse()
            .map(Where::At)
            .map_err(|_| "write ADDRESS:PORT, such as 127.0.0.1:7077, or `off`".to_owned()),
    }
}

fn listens(args: &RunArgs) -> Option<Listen> {
    let (address, is_required) = match args.listen {
        Some(Where::At(address)) => (address, true),
        Some(Where::Off) => return None,
        None if args.until_end => return None,
        None => ((Ipv4Addr::LOCALHOST, API_PORT).into(), args.tokens.is_some()),
    };
    Some(Listen {
        address,
        tokens: args.tokens.clone(),
        is_required,
    })
}

/// Runs the command.
pub(crate) fn run(args: &RunArgs, output: Output) -> Result<(), Failure> {
    let settings = Settings {
        places: args.files.clone(),
        pipeline: args.pipeline.clone(),
        until_end: args.until_end,
        from: args.from,
        workers: args.workers.map(usize::from),
        state_dir: args.state_dir.clone(),
        skip: args.skip.clone(),
        shutdown_timeout: Duration::from_secs(args.shutdown_timeout),
        // A bounded run is over before anybody has changed anything.
        watch: !args.no_watch && !args.until_end,
        listen: listens(args),
        otlp: args.otlp.clone(),
    };
    supervisor::run(settings, output)
}
