//! Private servers: each in a folder of its own, on a free port, not as root, and ended with the test.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::support::port_for_later;

/// Of the user `app` everywhere.
pub(crate) const PASSWORD: &str = "s3cr3t-pass";

/// A running server.
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: TempDir,
    program: PathBuf,
    args: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// PostgreSQL with TLS and passwords.
    pub(crate) fn postgres() -> Self {
        let bin = newest("/usr/lib/postgresql").join("bin");
        let initdb = found(bin.join("initdb"), "postgresql");
        let folder = folder();
        write(&folder.path().join("password"), PASSWORD);
        let data = folder.path().join("data");
        let args = ["--auth=scram-sha-256", "--username=app", "--no-sync", "--locale=C", "--encoding=UTF8"];
        let made = unprivileged(&initdb)
            .args(args)
            .arg("-D")
            .arg(&data)
            .arg("--pwfile")
            .arg(folder.path().join("password"))
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = port_for_later();
        let mut args = vec!["-D".to_owned(), data.display().to_string(), "-p".to_owned(), port.to_string()];
        let file = |name: &str| folder.path().join(name).display().to_string();
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "shared_buffers=8MB".to_owned(),
            "fsync=off".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", file("cert.pem")),
            format!("ssl_key_file={}", file("key.pem")),
        ] {
            args.extend(["-c".to_owned(), setting]);
        }
        Self { port, folder, program: bin.join("postgres"), args, child: None }.started()
    }

    /// Redis with TLS and passwords; `more` lines of configuration.
    pub(crate) fn redis(more: &[&str]) -> Self {
        let program = found(PathBuf::from("/usr/bin/redis-server"), "redis-server");
        let (folder, port) = (folder(), port_for_later());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            "port 0".to_owned(),
            format!("tls-port {port}"),
            format!("tls-cert-file {}", path("cert.pem")),
            format!("tls-key-file {}", path("key.pem")),
            format!("tls-ca-cert-file {}", path("ca.pem")),
            "tls-auth-clients no".to_owned(),
            "save \"\"".to_owned(),
            format!("dir {}", folder.path().display()),
            "user default off".to_owned(),
            format!("user app on >{PASSWORD} ~* +@all"),
        ];
        lines.extend(more.iter().map(|line| (*line).to_owned()));
        write(&folder.path().join("redis.conf"), &lines.join("\n"));
        let args = vec![path("redis.conf")];
        Self { port, folder, program, args, child: None }.started()
    }

    /// The trust anchor of its certificate, which is valid for `localhost`.
    pub(crate) fn ca(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    pub(crate) fn start(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let child = unprivileged(&self.program)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        for _ in 0..400 {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        panic!("{} did not start:\n{log}", self.program.display());
    }

    /// Ends it at once, connections and all.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // PostgreSQL's children outlive a SIGKILL for a while and keep its memory; SIGINT ends both kinds of server.
            let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            let _ = child.wait();
        }
    }

    fn started(mut self) -> Self {
        self.start();
        self
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A folder of the user who runs the servers, with a certificate for `localhost`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    // A name of its own: OpenSSL takes a certificate whose issuer is named as itself for self-signed.
    params.distinguished_name.push(DnType::CommonName, "GoodGo test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    if let Some((user, group)) = user() {
        chown(folder.path(), Some(user), Some(group)).unwrap();
    }
    write(&folder.path().join("ca.pem"), &ca.pem());
    write(&folder.path().join("cert.pem"), &certificate.pem());
    write(&folder.path().join("key.pem"), &key.serialize_pem());
    folder
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    if let Some((user, group)) = user() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// A program as somebody else than root, which PostgreSQL refuses; it ends with this process.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if let Some((user, group)) = user() {
        command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
    }
    command.arg("--pdeathsig=INT").arg(program).current_dir("/");
    command
}

/// Whose the servers are when this process is root's: nobody.
fn user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    (std::fs::metadata("/proc/self").unwrap().uid() == 0).then_some((65534, 65534))
}

fn newest(folder: &str) -> PathBuf {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    found(entries.max_by_key(version).unwrap_or_else(|| PathBuf::from(folder)), "postgresql")
}

fn found(program: PathBuf, package: &str) -> PathBuf {
    assert!(program.exists(), "{} is missing: apt-get install {package}", program.display());
    program
}
