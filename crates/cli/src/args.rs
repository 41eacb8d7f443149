//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXIT_CODES: &str = "\
Exit codes:
  0  nothing to object to
  1  something is wrong with what was given
  2  the command line or a file can't be read";

/// What the operator makes of GoodGoServices, and what is wrong with them, before anything is applied
#[derive(Debug, Parser)]
#[command(name = "goodgoctl", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Goodgoctl {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the exact children of services, in the order in which they are applied
    Render(Render),
    /// Check manifests as the API server and the operator do, alone and against each other
    Validate(Validate),
    /// Draw services, calls, topics and the gateway; or tell why one service may reach another
    Graph(Graph),
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Where manifests come from.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// A file with manifests, a folder with such files (*.yaml, *.yml, *.json), or - for standard input; can be repeated
    #[arg(short, long = "filename", value_name = "PATH", required = true)]
    pub(crate) filename: Vec<PathBuf>,
    /// Namespace of manifests that name none
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    pub(crate) namespace: String,
    /// The operator's configuration file: its profile and the platform's addresses decide defaults
    #[arg(long, value_name = "FILE")]
    pub(crate) platform: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Render {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Only this service, as NAME or NAMESPACE/NAME
    pub(crate) service: Option<String>,
    /// How objects are written
    #[arg(short, long, value_enum, default_value_t = Objects::Yaml)]
    pub(crate) output: Objects,
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    #[command(flatten)]
    pub(crate) source: Source,
    /// How findings are written
    #[arg(short, long, value_enum, default_value_t = Findings::Text)]
    pub(crate) output: Findings,
}

#[derive(Debug, Args)]
pub(crate) struct Graph {
    #[command(flatten)]
    pub(crate) source: Source,
    /// How the graph is written
    #[arg(short, long, value_enum, default_value_t = Drawing::Mermaid)]
    pub(crate) output: Drawing,
    /// Tell whether the first service may reach the second, by which rule, instead of drawing; as NAME or NAMESPACE/NAME
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"])]
    pub(crate) why: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Objects {
    Yaml,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Findings {
    /// One line each: file, line, field, sentence
    Text,
    Yaml,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    Mermaid,
    /// Graphviz
    Dot,
    Yaml,
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Goodgoctl::command().debug_assert();
    }
}
