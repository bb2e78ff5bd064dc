//! How bytes are cut into records: lines, NDJSON, CSV.

use std::ops::Range;

use crate::csv::Csv;
use crate::settings::Format;

/// A piece of the input that was looked at from its first byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It does not end yet.
    NeedMore,
    /// The first `used` bytes are done with.
    Piece {
        /// At least 1.
        used: usize,
        /// What they are.
        what: What,
    },
    /// Nothing after this can be read either.
    Hopeless(String),
}

/// What a piece of the input is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A record, its value at this place of the input.
    Value(Range<usize>),
    /// A record, its value in [`Cutter::built`].
    Built,
    /// A blank line, or the head line of CSV.
    Nothing,
    /// It does not parse, and why.
    Bad(String),
}

/// Cuts by one format.
pub(crate) struct Cutter {
    format: Format,
    csv: Csv,
    /// So much of the input has no line end, as an earlier look has shown.
    looked_at: usize,
}

impl Cutter {
    pub(crate) fn new(format: Format, delimiter: char) -> Result<Self, String> {
        Ok(Self {
            format,
            csv: Csv::new(delimiter)?,
            looked_at: 0,
        })
    }

    /// What a piece is called, for people.
    pub(crate) fn unit(&self) -> &'static str {
        match self.format {
            Format::Lines | Format::Ndjson => "line",
            Format::Csv => "row",
        }
    }

    /// Whether the input must be read from its beginning first, for its head line.
    pub(crate) fn needs_head(&self) -> bool {
        self.format == Format::Csv && !self.csv.has_head()
    }

    /// Whether a line end may follow a piece that ended without one.
    pub(crate) fn ends_lines(&self) -> bool {
        self.format != Format::Csv
    }

    /// Forgets the input, its head line too.
    pub(crate) fn restart(&mut self) {
        self.csv.restart();
        self.looked_at = 0;
    }

    /// The bytes that were looked at last are not shown again.
    pub(crate) fn pass_over(&mut self) {
        self.looked_at = 0;
    }

    /// The value of the last [`What::Built`].
    pub(crate) fn built(&self) -> &[u8] {
        self.csv.built()
    }

    /// Looks at the input. Called again with the same bytes and more after [`Cut::NeedMore`], and
    /// with what follows after a piece. `is_end`: there are no more bytes.
    pub(crate) fn cut(&mut self, input: &[u8], is_end: bool) -> Cut {
        if input.is_empty() {
            return Cut::NeedMore;
        }
        if self.format == Format::Csv {
            return self.csv.cut(input, is_end);
        }
        let rest = input.get(self.looked_at..).unwrap_or_default();
        let (end, used) = match memchr::memchr(b'\n', rest) {
            Some(at) => (self.looked_at + at, self.looked_at + at + 1),
            None if is_end => (input.len(), input.len()),
            None => {
                self.looked_at = input.len();
                return Cut::NeedMore;
            }
        };
        self.looked_at = 0;
        let line = &input[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let what = match self.format {
            Format::Ndjson => json_line(line),
            Format::Lines | Format::Csv => What::Value(0..line.len()),
        };
        Cut::Piece { used, what }
    }
}

fn json_line(line: &[u8]) -> What {
    if line.trim_ascii().is_empty() {
        return What::Nothing;
    }
    // Strings that are passed over are not checked by serde_json, so the whole line is.
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => return What::Bad(format!("not UTF-8: {error}")),
    };
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => What::Value(0..line.len()),
        Err(error) => What::Bad(format!("not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(format: Format, input: &[u8]) -> Vec<Result<Vec<u8>, String>> {
        let mut cutter = Cutter::new(format, ',').unwrap();
        let mut rest = input;
        let mut found = Vec::new();
        while let Cut::Piece { used, what } = cutter.cut(rest, true) {
            match what {
                What::Value(range) => found.push(Ok(rest[range].to_vec())),
                What::Built => found.push(Ok(cutter.built().to_vec())),
                What::Bad(why) => found.push(Err(why)),
                What::Nothing => {}
            }
            rest = &rest[used..];
        }
        assert!(rest.is_empty());
        found
    }

    #[test]
    fn lines_are_bytes_as_they_are() {
        let found = all(Format::Lines, b"a\r\n\n\xff\xfe\nb\rc\n\r\nlast\r");
        let expected: [&[u8]; 6] = [b"a", b"", b"\xff\xfe", b"b\rc", b"", b"last"];
        assert_eq!(found, expected.map(|line| Ok(line.to_vec())));
    }

    #[test]
    fn a_line_of_ndjson_is_json() {
        let found = all(
            Format::Ndjson,
            b"{\"a\": 1}\r\n\n  \n[1\n\"\xff\"\n 7 \n\"\\ud800\"x\nnull",
        );
        assert_eq!(found.len(), 6);
        assert_eq!(found[0], Ok(b"{\"a\": 1}".to_vec()));
        assert!(found[1].as_ref().unwrap_err().contains("not JSON"));
        assert!(found[2].as_ref().unwrap_err().contains("not UTF-8"));
        assert_eq!(found[3], Ok(b" 7 ".to_vec()));
        assert!(found[4].is_err());
        assert_eq!(found[5], Ok(b"null".to_vec()));
    }

    #[test]
    fn a_row_of_csv_is_an_object() {
        let found = all(
            Format::Csv,
            b"\xef\xbb\xbfroom,\"the \"\"temp\"\"\"\r\na,1\r\n\r\n\"b\nc\",\"x,\"\"y\"\"\"\nonly\n1,2,3\n\xff,2\nlast,9",
        );
        let text = |i: usize| std::str::from_utf8(found[i].as_ref().unwrap()).unwrap();
        assert_eq!(text(0), r#"{"room":"a","the \"temp\"":"1"}"#);
        assert_eq!(text(1), r#"{"room":"b\nc","the \"temp\"":"x,\"y\""}"#);
        assert!(found[2].as_ref().unwrap_err().contains("1 field, the head line has 2"));
        assert!(found[3].as_ref().unwrap_err().contains("3 fields, the head line has 2"));
        assert!(found[4].as_ref().unwrap_err().contains("UTF-8"));
        assert_eq!(text(5), r#"{"room":"last","the \"temp\"":"9"}"#);
        assert_eq!(found.len(), 6);
    }

    #[test]
    fn a_head_line_that_names_nothing_clearly_is_hopeless() {
        for (head, why) in [(&b"a,b,a\n"[..], "twice"), (b"a,\xff\n", "UTF-8")] {
            let mut cutter = Cutter::new(Format::Csv, ',').unwrap();
            let Cut::Hopeless(text) = cutter.cut(head, false) else {
                panic!("{head:?}")
            };
            assert!(text.contains(why), "{text}");
        }
        assert!(Cutter::new(Format::Csv, '€').is_err());
        let mut cutter = Cutter::new(Format::Csv, ';').unwrap();
        assert_eq!(
            cutter.cut(b"a;b\n", false),
            Cut::Piece {
                used: 4,
                what: What::Nothing
            }
        );
    }

    #[test]
    fn an_unfinished_piece_waits() {
        for (format, part, rest) in [
            (Format::Lines, &b"abc"[..], &b"def\n"[..]),
            (Format::Ndjson, b"[1,", b"2]\n"),
            (Format::Csv, b"a,\"b\n", b"c\"\n"),
        ] {
            let mut cutter = Cutter::new(format, ',').unwrap();
            assert_eq!(cutter.cut(part, false), Cut::NeedMore);
            let whole = [part, rest].concat();
            assert!(matches!(cutter.cut(&whole, false), Cut::Piece { used, .. } if used == whole.len()));
        }
    }
}
