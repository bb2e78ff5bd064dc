//! A process that runs, with its API.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Process, Ran, command, said, wasmill};

/// How long anything is waited for.
const WAIT: Duration = Duration::from_secs(60);

/// What the API has answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Lower-case, one per line.
    pub head: String,
    pub body: Vec<u8>,
}

/// `wasmill run` in a directory, its API at a free port. Killed when it is dropped.
pub struct Served {
    pub process: Process,
    pub api: SocketAddr,
}

impl Served {
    /// `args`: those of `run`.
    pub fn run(dir: &Path, args: &[&str]) -> Self {
        let all = [&["run", "--listen", "127.0.0.1:0"], args].concat();
        let (sender, lines) = channel();
        let process = command(dir, &all).start(move |line| {
            // Nobody listens once the address is known.
            let _ = sender.send(line);
        });
        let mut log = String::new();
        let api = loop {
            let line = lines.recv_timeout(WAIT).unwrap_or_else(|_| panic!("no API:\n{log}"));
            if let Some((_, address)) = line.split_once("the API is at http://") {
                break address.trim().parse().unwrap();
            }
            log.push_str(&line);
            log.push('\n');
        };
        Self { process, api }
    }

    /// Status and body. `headers`: each with its line end.
    pub fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        self.send(method, path, headers, "")
    }

    /// As [`Self::ask`], with a body.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.api).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\n{headers}connection: close\r\n");
        if !headers.contains("host:") {
            head.push_str(&format!("host: {}\r\n", self.api));
        }
        if !body.is_empty() {
            head.push_str(&format!(
                "content-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            ));
        }
        write!(stream, "{head}\r\n{body}").unwrap();
        let answer = Self::answer(path, &mut stream).unwrap();
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    /// Asks with GET.
    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap()
    }

    fn try_get(&self, path: &str) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(self.api)?;
        stream.set_read_timeout(Some(WAIT))?;
        let head = format!("host: {}\r\nconnection: close\r\n", self.api);
        write!(stream, "GET {path} HTTP/1.1\r\n{head}\r\n")?;
        Self::answer(path, &mut stream)
    }

    fn answer(path: &str, stream: &mut TcpStream) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        said(path, &bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        Ok(Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: bytes[end + 4..].to_vec(),
        })
    }

    /// Status and body of a GET.
    pub fn read(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "")
    }

    /// What a path answers that has to be there.
    pub fn json(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until all pipelines run.
    pub fn until_ready(&self) {
        self.until("it is ready", || self.ask("GET", "/ready", "").0 == 200);
    }

    /// Waits until something holds.
    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + WAIT;
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "in vain: {what}; {}",
                self.ask("GET", "/v1/pipelines", "").1
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a command that asks the API.
    pub fn wasmill(&self, dir: &Path, args: &[&str]) -> Ran {
        let api = format!("http://{}", self.api);
        wasmill(dir, &[args, &["--api", &api]].concat())
    }

    /// Ends it as an operator does.
    pub fn stop(mut self) {
        self.say_all();
        self.process.signal("-TERM");
        let status = self.process.wait(WAIT).expect("it ends");
        assert_eq!(status.code(), Some(0));
    }

    /// Reads what a process says of itself to whoever asks, if it still answers: each process of the tests is asked
    /// once.
    fn say_all(&self) {
        for path in ["/metrics", "/v1/pipelines", "/v1/receipts", "/ready"] {
            let _ = self.try_get(path);
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.say_all();
        }
    }
}
