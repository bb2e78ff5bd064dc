//! Results side by side: medians, and what Wasmill costs in units of the bare loop.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::measure::Measured;

#[derive(clap::Args)]
pub struct ReportArgs {
    /// Lines of JSON from `measure`.
    #[arg(long)]
    results: PathBuf,
}

pub fn run(args: &ReportArgs) -> Result<()> {
    let text = std::fs::read_to_string(&args.results).with_context(|| args.results.display().to_string())?;
    let mut runs: BTreeMap<(String, String), BTreeMap<String, Vec<Measured>>> = BTreeMap::new();
    for line in text.lines() {
        let run: Measured = serde_json::from_str(line)?;
        let case = (run.work.clone(), run.delivery.clone());
        runs.entry(case)
            .or_default()
            .entry(run.who.clone())
            .or_default()
            .push(run);
    }
    println!(
        "| work | delivery | bare us/record | wasmill us/record | ratio | bare records/s | wasmill records/s | wasmill MiB | runs | spread | same output |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut different = false;
    for ((work, delivery), who) in &runs {
        let (Some(bare), Some(ours)) = (who.get("bare"), who.get("wasmill")) else {
            println!("| {work} | {delivery} | only one of the two was measured | | | | | | | | |");
            continue;
        };
        let cpu = |runs: &[Measured]| median(runs.iter().map(|run| run.cpu_us_per_record));
        let rate = |runs: &[Measured]| median(runs.iter().map(|run| run.records_per_s));
        let digests: Vec<&String> = bare.iter().chain(ours).filter_map(|run| run.digest.as_ref()).collect();
        let same = match digests.as_slice() {
            [] | [_] => "not compared",
            [first, rest @ ..] if rest.iter().all(|d| d == first) => "yes",
            _ => {
                different = true;
                "NO"
            }
        };
        println!(
            "| {work} | {delivery} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} | {} | {:.0} % | {same} |",
            cpu(bare),
            cpu(ours),
            cpu(ours) / cpu(bare),
            rate(bare),
            rate(ours),
            median(ours.iter().map(|run| run.peak_rss_mib)),
            ours.len(),
            spread(bare).max(spread(ours)),
        );
    }
    if different {
        bail!("the outputs differ: the figures compare different work");
    }
    Ok(())
}

/// How far the runs of one case lie apart, in percent of their median: a ratio closer to another than
/// this says nothing.
fn spread(runs: &[Measured]) -> f64 {
    let cpu = || runs.iter().map(|run| run.cpu_us_per_record);
    let (low, high) = cpu().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
        (low.min(x), high.max(x))
    });
    (high - low) / median(cpu()) * 100.0
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
