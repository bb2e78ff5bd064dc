//! The position of a `file` or `stdin` source, as it is committed.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

/// How much of the beginning of an input tells it from others.
pub(crate) const HEAD_BYTES: usize = 4096;
/// How much before the position is compared.
pub(crate) const TAIL_BYTES: usize = 256;

/// Where reading goes on, and what the input looked like: written as
/// `t1:<input>:<pass>:<offset>:<pieces>:<open>:<head bytes>:<head>:<tail bytes>:<tail>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// `file`, or the id of this process's standard input.
    pub(crate) input: String,
    /// How often a looping file was read to its end.
    pub(crate) pass: u64,
    /// In bytes.
    pub(crate) offset: u64,
    /// Lines or rows read in this pass.
    pub(crate) pieces: u64,
    /// The last line was taken though it had no end: one that comes now is not an empty line.
    pub(crate) open: bool,
    /// Of the first bytes of the input.
    pub(crate) head: Print,
    /// Of the bytes just before the offset.
    pub(crate) tail: Print,
}

/// The length and hash of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Print {
    pub(crate) bytes: u64,
    pub(crate) hash: u64,
}

impl Print {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.len() as u64,
            hash: xxh3_64(bytes),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { head, tail, .. } = self;
        write!(
            f,
            "t1:{}:{}:{}:{}:{}:{}:{:x}:{}:{:x}",
            self.input,
            self.pass,
            self.offset,
            self.pieces,
            u8::from(self.open),
            head.bytes,
            head.hash,
            tail.bytes,
            tail.hash
        )
    }
}

impl Mark {
    /// Reads what `Display` wrote; `None` for anything else.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        if parts.next()? != "t1" {
            return None;
        }
        let input = parts.next()?.to_owned();
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (pass, offset, pieces, open) = (number()?, number()?, number()?, number()?);
        let mut print = || {
            Some(Print {
                bytes: parts.next()?.parse().ok()?,
                hash: u64::from_str_radix(parts.next()?, 16).ok()?,
            })
        };
        let (head, tail) = (print()?, print()?);
        let is_sound = parts.next().is_none()
            && open <= 1
            && head.bytes <= offset.min(HEAD_BYTES as u64)
            && tail.bytes <= offset.min(TAIL_BYTES as u64);
        is_sound.then_some(Self {
            input,
            pass,
            offset,
            pieces,
            open: open == 1,
            head,
            tail,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mark_is_read_back_and_nothing_else_is() {
        let mark = Mark {
            input: "file".to_owned(),
            pass: 2,
            offset: 5_000,
            pieces: 7,
            open: true,
            head: Print::of(&[1; HEAD_BYTES]),
            tail: Print::of(&[2; TAIL_BYTES]),
        };
        let text = mark.to_string();
        assert!(text.is_ascii() && text.len() < 200);
        assert_eq!(Mark::read(&text), Some(mark));
        for wrong in [
            "",
            "t1",
            "t2:file:0:0:0:0:0:0:0:0",
            "t1:file:0:0:0:2:0:0:0:0",
            "t1:file:0:0:0:0:1:0:0:0",
        ] {
            assert_eq!(Mark::read(wrong), None, "{wrong}");
        }
        assert_eq!(Mark::read(&format!("{text}:1")), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "t1(:[0-9a-f]{0,20}){0,11}|.*") {
            let _ = Mark::read(&text);
        }
    }
}
