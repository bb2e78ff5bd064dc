//! A process that listens for records, and a client of it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Process, command, said};

pub const WAIT: Duration = Duration::from_secs(60);

/// Killed when dropped.
pub struct Listening {
    process: Process,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Listening {
    pub fn run(dir: &Path, args: &[&str]) -> Self {
        Self::run_with(dir, args, &[])
    }

    /// With variables in its environment.
    pub fn run_with(dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let run = ["run", "--json", "--log", "info", "--listen", "127.0.0.1:0"];
        let (sender, lines) = channel();
        let process = command(dir, &[&run, args].concat())
            .envs(variables.iter().copied())
            .start(move |line| {
                let _ = sender.send(line);
            });
        Self {
            process,
            lines,
            seen: Vec::new(),
        }
    }

    /// The next line of the log that has something in it.
    pub fn line_with(&mut self, part: &str) -> String {
        let deadline = Instant::now() + WAIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("no line with `{part}`:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// A client of the source that listens next.
    pub fn client(&mut self) -> Client {
        let line = self.line_with("listens on http://");
        let (_, rest) = line.split_once("listens on http://").unwrap();
        let address = rest.split(['"', ' ']).next().unwrap();
        Client {
            address: address.parse().unwrap(),
        }
    }

    /// What the API of the process says; it has said where it is before its sources did.
    pub fn api(&self, path: &str) -> String {
        let place = "the API is at http://";
        let line = self.seen.iter().find(|line| line.contains(place)).expect("an API");
        let (_, rest) = line.split_once(place).unwrap();
        let address = rest.split(['"', ' ']).next().unwrap().parse().unwrap();
        Client { address }.ask("GET", path, "", "").body
    }

    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Reloads everything; the receipt.
    pub fn reload(&mut self) -> Value {
        self.signal("-HUP");
        loop {
            let line = self.line_with("\"reload\"");
            let value: Value = serde_json::from_str(&line).unwrap();
            if value["reload"].is_u64() {
                return value;
            }
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and a clean end.
    pub fn terminate(&mut self) {
        self.signal("-TERM");
        let status = self.process.wait(WAIT).expect("it ends");
        self.seen.extend(self.lines.try_iter());
        assert_eq!(status.code(), Some(0), "{}", self.seen.join("\n"));
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> usize {
        self.process.resident()
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Sends requests, each on a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    pub address: SocketAddr,
}

impl Client {
    /// A connection on which something was sent.
    pub fn open(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }

    pub fn try_ask(&self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(WAIT))?;
        let (address, length) = (self.address, body.len());
        stream.write_all(
            format!(
                "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{headers}connection: close\r\ncontent-length: \
                 {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        said(path, &text);
        let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Answer {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        self.try_ask(method, path, headers, body).unwrap()
    }

    /// Until the topic of the source is there.
    pub fn until_written(&self, method: &str, path: &str) {
        let deadline = Instant::now() + WAIT;
        loop {
            let answer = self.ask(method, path, "", "");
            if answer.status / 100 == 2 {
                return;
            }
            assert!(answer.status == 503 && Instant::now() < deadline, "{answer:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a body of so many bytes in chunks, as long as it is taken; the status of the answer.
    pub fn flood(&self, bytes: usize) -> Option<u16> {
        let head = format!(
            "POST /raw HTTP/1.1\r\nhost: {}\r\ntransfer-encoding: chunked\r\n\r\n",
            self.address
        );
        let mut stream = self.open(head.as_bytes());
        stream.set_read_timeout(Some(WAIT)).unwrap();
        let reading = stream.try_clone().unwrap();
        // The answer comes while it sends.
        let answer = std::thread::spawn(move || {
            let mut line = String::new();
            BufReader::new(reading).read_line(&mut line).ok()?;
            line.split(' ').nth(1)?.parse().ok()
        });
        let chunk = format!("10000\r\n{}\r\n", "1".repeat(0x10000));
        for _ in 0..bytes / 0x10000 {
            if stream.write_all(chunk.as_bytes()).is_err() {
                break;
            }
        }
        answer.join().unwrap()
    }
}
