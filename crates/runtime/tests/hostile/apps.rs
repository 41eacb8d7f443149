//! Real servers as apps: what each understood is read from what it says itself.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A request that a server tells of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Understood {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Where the server tells it.
    pub(crate) body: Option<Vec<u8>>,
    /// Whether the server itself found it wrong.
    pub(crate) refused: bool,
}

/// Which protocol the server speaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

/// A server in a process of its own.
pub(crate) struct App {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
    /// What it tells; none from the demo service, which keeps no log.
    pub(crate) told: Option<Receiver<Understood>>,
    _folder: Option<TempDir>,
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(name: &str, program: &str, args: &[&str], env: &[(&str, &str)]) -> Child {
    let mut command = Command::new(program);
    command.args(args).envs(env.iter().copied()).stdin(Stdio::null()).stderr(Stdio::null());
    command.stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
        panic!("failed to start {name} ({program}): {error}; the test needs the Debian packages nodejs and nginx-light")
    })
}

/// Node.js.
pub(crate) fn node(speaks: Speaks) -> App {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/app.js");
    let kind = if speaks == Speaks::Http2 { "http2" } else { "http1" };
    let mut child = spawn("Node.js", "node", &[script.to_str().unwrap(), kind], &[]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = move || lines.next()?.ok().and_then(|line| serde_json::from_str::<Value>(&line).ok());
    let port = next().and_then(|line| line["port"].as_u64()).expect("node tells its port");
    let (tell, told) = channel();
    std::thread::spawn(move || {
        while let Some(line) = next() {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let understood = Understood {
                method: text("method"),
                target: text("target"),
                body: Some(text("body").chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()),
                refused: line["refused"].is_string(),
            };
            if tell.send(understood).is_err() {
                break;
            }
        }
    });
    let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
    App { name: "Node.js", address, child, told: Some(told), _folder: None }
}

/// nginx, which tells in its access log.
pub(crate) fn nginx(speaks: Speaks) -> App {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display();
    let address = free_address();
    let kind = if speaks == Speaks::Http2 { " http2" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {root}/{kind};\n"))
        .concat();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {root}/pid;\nerror_log {root}/error.log;\nevents {{}}\n\
         http {{\n{temporary}log_format told escape=none '$status $request_method $request_uri';\n\
         access_log {root}/told told;\nlarge_client_header_buffers 4 64k;\n\
         server {{ listen {address}{kind}; location / {{ return 200 'ok'; }} }}\n}}\n"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let log = folder.path().join("told");
    let child = spawn(
        "nginx",
        "nginx",
        &["-p", folder.path().to_str().unwrap(), "-c", file.to_str().unwrap()],
        &[("PATH", &format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap()))],
    );
    listening(address, "nginx");
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let (mut file, mut line) = (BufReader::new(File::open(log).unwrap()), String::new());
        loop {
            match file.read_line(&mut line) {
                Ok(length) if length > 0 && line.ends_with('\n') => {
                    let mut words = line.trim_end().splitn(3, ' ');
                    let mut word = || words.next().unwrap_or_default().to_owned();
                    let refused = !word().starts_with('2');
                    let (method, target) = (word(), word());
                    if tell.send(Understood { method, target, body: None, refused }).is_err() {
                        return;
                    }
                    line.clear();
                }
                // A line that is half written goes on next time.
                Ok(_) => std::thread::sleep(Duration::from_millis(2)),
                Err(error) => panic!("failed to read nginx's log: {error}"),
            }
        }
    });
    App { name: "nginx", address, child, told: Some(told), _folder: Some(folder) }
}

/// The demo service, built by Cargo if it is not there.
pub(crate) fn demo() -> App {
    // With the whole workspace's features: what the other tests have compiled is used.
    let args = ["build", "--quiet", "--locked", "--workspace", "--bin", "demo", "--message-format=json"];
    let mut cargo = spawn("Cargo", env!("CARGO"), &args, &[]);
    let mut text = String::new();
    cargo.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(cargo.wait().unwrap().success(), "failed to build the demo service");
    let program = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|line| line["executable"].as_str().map(str::to_owned))
        .expect("Cargo tells where the demo service is");
    let address = free_address();
    let child = spawn("the demo service", &program, &[], &[("PORT", &address.port().to_string())]);
    listening(address, "the demo service");
    App { name: "demo service", address, child, told: None, _folder: None }
}

/// Not the same one twice: apps of several tests start at once, and each binds its own only after this has let go of it.
fn free_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut given = GIVEN.lock().unwrap();
    (0..100).map(|_| free()).find(|address| given.insert(*address)).expect("a free port")
}

fn listening(address: SocketAddr, name: &str) {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "{name} does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}
