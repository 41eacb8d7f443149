//! Programs in other languages: their packages at pinned versions in a cache folder, and the running process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

/// A running program, ended with the test.
pub(crate) struct Program(#[expect(dead_code, reason = "held until the test ends")] Child);

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

fn cache(language: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(language);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub(crate) async fn node() -> Command {
    let folder = cache("node");
    for file in ["package.json", "package-lock.json", "app.mjs"] {
        std::fs::copy(format!("{SOURCES}/node/{file}"), folder.join(file)).unwrap();
    }
    let lock = folder.join("package-lock.json");
    once(&folder, &lock, async || {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(&folder))
            .await;
    })
    .await;
    let mut command = Command::new("node");
    command.arg("app.mjs").current_dir(&folder);
    command
}

pub(crate) async fn python() -> Command {
    let folder = cache("python");
    let lock = PathBuf::from(format!("{SOURCES}/python/requirements.txt"));
    once(&folder, &lock, async || {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv"))).await;
        let pip = folder.join("venv/bin/pip");
        let args = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"];
        run(Command::new(pip).args(args).arg(&lock)).await;
    })
    .await;
    let mut command = Command::new(folder.join("venv/bin/python"));
    command.arg(format!("{SOURCES}/python/app.py"));
    command
}

pub(crate) async fn go() -> Command {
    let program = cache("go").join("app");
    let build = ["build", "-o", program.to_str().unwrap(), "."];
    run(Command::new("go").args(build).current_dir(format!("{SOURCES}/go"))).await;
    Command::new(program)
}

/// Installs again when the lock file has changed since the last good time.
async fn once(folder: &Path, lock: &Path, install: impl AsyncFnOnce()) {
    let wanted = std::fs::read(lock).unwrap();
    let done = folder.join("installed");
    if std::fs::read(&done).is_ok_and(|installed| installed == wanted) {
        return;
    }
    install().await;
    std::fs::write(done, wanted).unwrap();
}

async fn run(command: &mut Command) {
    let program = command.as_std().get_program().to_owned();
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.unwrap_or_else(|error| panic!("{} is needed: {error}", program.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", program.display());
}

impl Program {
    /// Waits until it accepts connections, for at most a minute.
    pub(crate) async fn start(mut command: Command, address: SocketAddr, iam: &str) -> Self {
        let program = command.as_std().get_program().to_owned();
        let child = command
            .env("PORT", address.port().to_string())
            .env("IAM_SERVICE_URL", iam)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{} is needed: {error}", program.display()));
        for _ in 0..1200 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Self(child);
            }
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {ended:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not listen");
    }
}
