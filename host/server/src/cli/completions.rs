//! `wasmill completions`: completions for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::failure::Failure;
use crate::output::Output;

/// Print completions for a shell
///
/// For bash: `wasmill completions bash > ~/.local/share/bash-completion/completions/wasmill`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub(crate) fn run(args: &CompletionsArgs, output: Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wasmill", &mut script);
    output.print(String::from_utf8_lossy(&script).trim_end())
}
