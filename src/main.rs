//! Entry point: arguments → telemetry → run; nothing else.

use std::io::Write;

use clap::Parser;
use goodgo_operator::args::{Cli, Command};
use goodgo_operator::{rbac, telemetry};

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(args) => {
            telemetry::init(&args.log).map_err(anyhow::Error::from_boxed)?;
            tokio::runtime::Runtime::new()?.block_on(goodgo_operator::run(args))
        }
        Command::Crd => print(&goodgo_api::schema::crd_yaml()?),
        Command::Rbac(args) => {
            let roles = [
                serde_saphyr::to_string(&rbac::cluster_role(&args.name))?,
                serde_saphyr::to_string(&rbac::role(&args.name, &args.namespace))?,
            ];
            print(&roles.join("---\n"))
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
