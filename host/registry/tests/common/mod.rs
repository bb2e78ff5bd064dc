//! A real registry on loopback, started by the test and stopped at its end.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// User `me`, password `sesame-registry`.
pub const HTPASSWD: &str = "me:$2y$05$abcdefghijklmnopqrstuubcTmcGIxRdYVDb2oD5t.chRY6fndSVC\n";

/// The registry of the Debian package docker-registry, with its storage in a directory of its own.
pub struct Registry {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Registry {
    /// One that anybody may read and write.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// One that asks for user and password.
    pub fn start_with_password() -> Self {
        Self::start_with(HTPASSWD)
    }

    fn start_with(htpasswd: &str) -> Self {
        // A port that is free now may be taken a moment later.
        let mut said = String::new();
        for _ in 0..5 {
            match Self::try_start(htpasswd) {
                Ok(registry) => return registry,
                Err(log) => said = log,
            }
        }
        panic!("docker-registry ends at once: {said}")
    }

    /// Its log, where it ends at once.
    fn try_start(htpasswd: &str) -> Result<Self, String> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let auth = if htpasswd.is_empty() {
            String::new()
        } else {
            std::fs::write(path("htpasswd"), htpasswd).unwrap();
            format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path("htpasswd"))
        };
        let config = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\n{auth}storage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            path("storage")
        );
        std::fs::write(path("config.yml"), config).unwrap();
        let child = Command::new("docker-registry")
            .args(["serve", &path("config.yml")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // It reports every question whose answer is no.
            .stderr(std::fs::File::create(path("log")).unwrap())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                panic!(
                    "`docker-registry` is missing, which this test starts (Debian, Ubuntu: apt-get install docker-registry)"
                )
            }
            Err(error) => panic!("docker-registry does not start: {error}"),
        };
        let mut registry = Self { child, dir, port };
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if registry.child.try_wait().unwrap().is_some() {
                return Err(std::fs::read_to_string(registry.dir.path().join("log")).unwrap_or_default());
            }
            if registry.answers() {
                return Ok(registry);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry did not answer on port {port} within 60 s")
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let mut answer = String::new();
        stream
            .write_all(b"GET /v2/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .and_then(|()| stream.read_to_string(&mut answer))
            .is_ok_and(|_| answer.contains("Docker-Distribution-Api-Version"))
    }

    /// `host:port`, as it stands in references.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it keeps the content with this digest (64 digits).
    pub fn blob(&self, hex: &str) -> PathBuf {
        let blobs = self.dir.path().join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// Stops it; its storage stays.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}
