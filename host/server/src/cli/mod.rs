//! The command line: one file per command, each with its arguments and a `run`.

pub(crate) mod args;
mod build;
mod completions;
mod consume;
mod control;
mod dlq;
mod doctor;
mod graph;
mod held;
mod inspect;
mod new;
mod pipelines;
mod produce;
mod push;
mod reload;
mod remote;
mod reset;
mod run;
mod schema;
mod state;
mod table;
mod tap;
mod test;
mod top;
mod topics;
mod validate;
mod watch;

use clap::{Parser, Subcommand};

use crate::failure::{Exit, Failure};
use crate::logging;
use crate::output::Output;

/// A stream processor for Apache Kafka whose transforms are WebAssembly components
///
/// Exit codes: 0 done, 1 failed, 2 the command line or a pipeline is wrong. Every error prints its
/// code, what happened, where, and what to do next; docs/errors has a page for each code.
#[derive(Debug, Parser)]
#[command(name = "wasmill", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Results, errors and logs as JSON, for scripts
    #[arg(long, global = true)]
    json: bool,
    /// What is logged on standard error: error, warn, info, debug, trace, or `info,wasmill_kafka=debug`
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "WASMILL_LOG",
        hide_env_values = true,
        default_value = "info"
    )]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Pipelines(pipelines::PipelinesArgs),
    Reload(reload::ReloadArgs),
    Pause(control::PauseArgs),
    Resume(control::ResumeArgs),
    Top(top::TopArgs),
    Tap(tap::TapArgs),
    Dlq(dlq::DlqArgs),
    State(state::StateArgs),
    Validate(validate::ValidateArgs),
    Graph(graph::GraphArgs),
    New(new::NewArgs),
    Test(test::TestArgs),
    Build(build::BuildArgs),
    Inspect(inspect::InspectArgs),
    Push(push::PushArgs),
    Produce(produce::ProduceArgs),
    Consume(consume::ConsumeArgs),
    Reset(reset::ResetArgs),
    Doctor(doctor::DoctorArgs),
    Schema(schema::SchemaArgs),
    Completions(completions::CompletionsArgs),
}

/// Reads the command line and runs the command.
pub(crate) fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version are no errors; nobody is left to tell when printing fails.
            let _ = error.print();
            return if error.use_stderr() { Exit::Invalid } else { Exit::Done };
        }
    };
    let output = Output::new(cli.json);
    match logging::start(output, &cli.log).and_then(|()| dispatch(&cli.command, output)) {
        Ok(()) => Exit::Done,
        Err(failure) if failure.is_broken_pipe() => Exit::Done,
        Err(failure) => {
            output.failure(&failure);
            failure.exit()
        }
    }
}

fn dispatch(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(args, output),
        Command::Pipelines(args) => pipelines::run(args, output),
        Command::Reload(args) => reload::run(args, output),
        Command::Pause(args) => control::pause(args, output),
        Command::Resume(args) => control::resume(args, output),
        Command::Top(args) => top::run(args, output),
        Command::Tap(args) => tap::run(args, output),
        Command::Dlq(args) => dlq::run(args, output),
        Command::State(args) => state::run(args, output),
        Command::Validate(args) => validate::run(args, output),
        Command::Graph(args) => graph::run(args, output),
        Command::New(args) => new::run(args, output),
        Command::Test(args) => test::run(args, output),
        Command::Build(args) => build::run(args, output),
        Command::Inspect(args) => inspect::run(args, output),
        Command::Push(args) => push::run(args, output),
        Command::Schema(_) => schema::run(output),
        Command::Reset(args) => reset::run(args, output),
        Command::Doctor(args) => doctor::run(args, output),
        Command::Produce(args) => produce::run(args, output),
        Command::Consume(args) => consume::run(args, output),
        Command::Completions(args) => completions::run(args, output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// `UPDATE_DOCS=1 cargo test -p wasmill` writes the page.
    #[test]
    fn the_page_of_the_command_line_is_up_to_date() {
        let options = clap_markdown::MarkdownOptions::new()
            .title("The command line".to_owned())
            .show_footer(false);
        let page = clap_markdown::help_markdown_custom::<Cli>(&options);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).expect("writes docs/cli.md");
        }
        let there = std::fs::read_to_string(path).expect("docs/cli.md");
        assert!(
            there == page,
            "docs/cli.md is out of date: UPDATE_DOCS=1 cargo test -p wasmill"
        );
    }
}
