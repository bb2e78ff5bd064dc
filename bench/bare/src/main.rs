//! A bare consume-produce loop on rdkafka, which is the limit of what Wasmill can reach, and the
//! harness that measures any command beside it. bench/run.sh puts the parts together.

mod bare;
mod client;
mod input;
mod measure;
mod report;
mod work;

use clap::Parser;

#[derive(Parser)]
struct Cli {
    /// The brokers, `host:port`.
    #[arg(long, env = "WASMILL_BENCH_KAFKA")]
    brokers: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Fill a topic with readings, always the same ones.
    Input(input::InputArgs),
    /// Run the bare loop.
    Bare(bare::BareArgs),
    /// Run a command and measure it by its output topic.
    Measure(measure::MeasureArgs),
    /// Show results side by side.
    Report(report::ReportArgs),
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Command::Input(args) => input::run(&cli.brokers, &args),
        Command::Bare(args) => bare::run(&cli.brokers, &args),
        Command::Measure(args) => measure::run(&cli.brokers, &args),
        Command::Report(args) => report::run(&args),
    }
}
