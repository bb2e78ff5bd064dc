//! A process that runs pipelines with an API.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::command;

/// How long something may take that should take a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// It is killed when it is dropped.
pub struct Process {
    child: Child,
    pub api: SocketAddr,
}

/// What the API has answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Lower-case, one per line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Process {
    /// `wasmill run --embedded` with these arguments, its API at a free port.
    pub fn run(dir: &Path, args: &[&str]) -> Self {
        Self::run_on(dir, "--embedded", args)
    }

    /// As [`Self::run`], on an embedded log that may be kept.
    pub fn run_on(dir: &Path, embedded: &str, args: &[&str]) -> Self {
        let mut all = vec!["run", embedded, "--listen", "127.0.0.1:0"];
        all.extend(args);
        let mut child = command(dir, &all)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("wasmill starts");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        let api = loop {
            let line = lines.next().unwrap_or_else(|| panic!("no API:\n{seen}")).unwrap();
            if let Some((_, address)) = line.split_once("the API is at http://") {
                break address.trim().parse().unwrap();
            }
            seen.push_str(&line);
            seen.push('\n');
        };
        // Else it would write to nobody.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, api }
    }

    /// Asks with GET.
    pub fn get(&self, path: &str) -> Answer {
        let mut stream = TcpStream::connect(self.api).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.api
        )
        .unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// Status and body.
    pub fn ask(&self, path: &str) -> (u16, String) {
        let answer = self.get(path);
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    /// The answer, which must be one.
    pub fn json(&self, path: &str) -> Value {
        let (status, body) = self.ask(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until something is so.
    pub fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "it does not come to that");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
