//! `wasmill tap`: records as they go by.

use clap::Args;

use super::remote::RemoteArgs;
use crate::api::tap::{LeftOut, Seen};
use crate::failure::Failure;
use crate::output::Output;
use crate::records::shown;

/// Show records as they go by a source, a transform, a sink or a topic
///
/// What is seen may be rolled back afterwards, and is then seen again. Nothing is held up: what is more than the rate
/// is left out, and counted on standard error.
#[derive(Args, Debug)]
pub(crate) struct TapArgs {
    /// The source, transform, sink or topic
    node: String,
    /// Of this pipeline [default: the only one of the process]
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// So many records a second at most
    #[arg(long, default_value_t = 10, value_name = "N")]
    rate: u32,
    /// Records with this key only
    #[arg(long)]
    key: Option<String>,
    /// Records whose value has this text in it only
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
    /// End after so many records
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(crate) fn run(args: &TapArgs, output: Output) -> Result<(), Failure> {
    let name = args.remote.pipeline(args.pipeline.as_deref())?;
    let rate = args.rate.to_string();
    let mut params = vec![("rate", rate.as_str())];
    params.extend(args.key.as_deref().map(|key| ("key", key)));
    params.extend(args.contains.as_deref().map(|text| ("contains", text)));
    let mut left = args.count.unwrap_or(u64::MAX);
    if left == 0 {
        return Ok(());
    }
    let path = ["v1", "pipelines", &name, "tap", &args.node];
    args.remote.events(&path, &params, |kind, data| {
        let unreadable = |error: serde_json::Error| {
            args.remote.failed(
                &format!("an event cannot be read: {error}"),
                "is it of the same version of Wasmill?",
            )
        };
        if kind != "record" {
            let LeftOut { count } = serde_json::from_str(data).map_err(unreadable)?;
            output.note(&format!("{count} more were left out; `--rate` shows more"));
            return Ok(true);
        }
        let seen: Seen = serde_json::from_str(data).map_err(unreadable)?;
        output.result(&line(&seen), &serde_json::to_value(&seen).unwrap_or_default())?;
        left -= 1;
        Ok(left > 0)
    })
}

fn line(seen: &Seen) -> String {
    let place = match seen.offset {
        Some(offset) => format!("{}:{}:{offset}", seen.topic, seen.partition),
        None => format!("{}:{}", seen.topic, seen.partition),
    };
    let port = seen.port.as_ref().map(|port| format!(" {port}")).unwrap_or_default();
    let cut = if seen.is_cut { " (cut)" } else { "" };
    format!("{place}{port} {} = {}{cut}", shown(&seen.key), shown(&seen.value))
}
