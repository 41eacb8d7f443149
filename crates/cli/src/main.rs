//! goodgoctl: what the operator would make of manifests, and what is wrong with them, before anything is applied.
//!
//! Everything here works on files, without a cluster, by the operator's own crates: what is said here is what it does.

mod args;
mod findings;
mod fleet;
mod graph;
mod manifests;
mod node;
mod platform;
mod render;
mod schema;
mod validate;

use std::process::ExitCode;

use args::{Command, Goodgoctl};
use clap::{CommandFactory, Parser};

/// What is said to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Nothing to object to.
    Fine,
    /// Something is wrong with what was given; it has been said.
    Findings,
}

fn main() -> ExitCode {
    let arguments = Goodgoctl::parse();
    let done = match arguments.command {
        Command::Render(arguments) => render::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Graph(arguments) => graph::run(&arguments),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Goodgoctl::command(), "goodgoctl", &mut std::io::stdout());
            Ok(Outcome::Fine)
        }
        Command::Man => man(),
    };
    match done {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        Err(error) => {
            use std::io::Write;
            // A closed stderr leaves the exit code to tell of it.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn man() -> anyhow::Result<Outcome> {
    clap_mangen::Man::new(Goodgoctl::command()).render(&mut std::io::stdout())?;
    Ok(Outcome::Fine)
}
