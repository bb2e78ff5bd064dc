//! `wasmill` as a process. Whatever it prints is searched for planted secrets before a test can read it: there is no
//! other way to its output.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::secrets::{self, said};

/// A command that is not started yet.
#[derive(Debug)]
pub struct Command {
    inner: std::process::Command,
    /// For people.
    line: String,
}

impl Command {
    /// In a directory, with planted secrets and without the environment of the one who runs the tests.
    pub fn new(dir: &Path, args: &[&str]) -> Self {
        let mut inner = std::process::Command::new(env!("CARGO_BIN_EXE_wasmill"));
        inner
            .args(args)
            .current_dir(dir)
            .env_remove("WASMILL_API")
            .env_remove("WASMILL_BROKERS")
            .env_remove("WASMILL_LOG")
            .env_remove("NO_COLOR")
            .envs(secrets::ENVIRONMENT)
            .stdin(Stdio::null());
        Self {
            inner,
            line: format!("wasmill {}", args.join(" ")),
        }
    }

    pub fn env(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env(name, value);
        self
    }

    pub fn envs<'a>(&mut self, all: impl IntoIterator<Item = (&'a str, &'a str)>) -> &mut Self {
        self.inner.envs(all);
        self
    }

    pub fn env_remove(&mut self, name: &str) -> &mut Self {
        self.inner.env_remove(name);
        self
    }

    /// Runs it to its end.
    pub fn output(&mut self) -> io::Result<Output> {
        self.output_of(b"")
    }

    /// Runs it to its end, with something on standard input.
    pub fn output_of(&mut self, input: &[u8]) -> io::Result<Output> {
        if !input.is_empty() {
            self.inner.stdin(Stdio::piped());
        }
        let mut child = self.inner.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that refuses its arguments reads nothing.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output()?;
        said(&self.line, &output.stdout);
        said(&self.line, &output.stderr);
        Ok(output)
    }

    /// Starts it. `each` is given every line that it prints, on whichever pipe.
    pub fn start(&mut self, each: impl FnMut(String) + Send + 'static) -> Process {
        let mut child = self
            .inner
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("wasmill starts");
        let each = Arc::new(Mutex::new(each));
        let pipes: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("a pipe")),
            Box::new(child.stderr.take().expect("a pipe")),
        ];
        let readers = pipes.into_iter().map(|pipe| {
            let (each, line) = (Arc::clone(&each), self.line.clone());
            std::thread::spawn(move || read(pipe, &line, &*each))
        });
        Process {
            readers: readers.collect(),
            child,
        }
    }
}

fn read(pipe: impl Read, place: &str, each: &Mutex<impl FnMut(String)>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        said(place, &line);
        let text = String::from_utf8_lossy(&line);
        each.lock().unwrap()(text.trim_end_matches(['\n', '\r']).to_owned());
        line.clear();
    }
}

/// A process that runs. Killed when it is dropped; a test fails then if it has shown a secret.
#[derive(Debug)]
pub struct Process {
    child: Child,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let killed = std::process::Command::new("kill")
            .args([name, &self.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; all that it has printed was read then.
    pub fn wait(&mut self, time: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + time;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.read_all();
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.read_all();
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.id())).unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
    }

    fn read_all(&mut self) {
        for reader in self.readers.drain(..) {
            if let Err(found) = reader.join()
                && !std::thread::panicking()
            {
                std::panic::resume_unwind(found);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.read_all();
    }
}
