//! CSV (RFC 4180) whose first row has the names: each row becomes a JSON object of strings.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::cut::{Cut, What};

pub(crate) struct Csv {
    reader: Reader,
    /// Each name as it stands in an object: `"name":`. `None` before the head line.
    head: Option<Vec<Vec<u8>>>,
    /// The fields of a row, unquoted, end to end.
    fields: Vec<u8>,
    ends: Vec<usize>,
    built: Vec<u8>,
}

impl Csv {
    pub(crate) fn new(delimiter: char) -> Result<Self, String> {
        let delimiter = u8::try_from(delimiter)
            .ok()
            .filter(|byte| byte.is_ascii() && !b"\"\r\n".contains(byte))
            .ok_or_else(|| format!("`delimiter` is {delimiter:?}, not an ASCII character that CSV can have"))?;
        Ok(Self {
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            head: None,
            fields: Vec::new(),
            ends: vec![0; 16],
            built: Vec::new(),
        })
    }

    pub(crate) fn has_head(&self) -> bool {
        self.head.is_some()
    }

    pub(crate) fn restart(&mut self) {
        self.head = None;
    }

    pub(crate) fn built(&self) -> &[u8] {
        &self.built
    }

    pub(crate) fn cut(&mut self, input: &[u8], is_end: bool) -> Cut {
        let Some((mut used, count)) = self.read_row(input, is_end) else {
            if is_end {
                let what = What::Nothing;
                return Cut::Piece {
                    used: input.len(),
                    what,
                };
            }
            return Cut::NeedMore;
        };
        // The parser stops between the two bytes of a line end.
        if used > 0 && input[used - 1] == b'\r' && input.get(used) == Some(&b'\n') {
            used += 1;
        }
        let Some(head) = &self.head else {
            return match names(&self.fields, &self.ends[..count]) {
                Ok(head) => {
                    self.head = Some(head);
                    let what = What::Nothing;
                    Cut::Piece { used, what }
                }
                Err(why) => Cut::Hopeless(why),
            };
        };
        let what = match build(head, &self.fields, &self.ends[..count], &mut self.built) {
            Ok(()) => What::Built,
            Err(why) => What::Bad(why),
        };
        Cut::Piece { used, what }
    }

    /// Reads the row at the beginning of the input: how many bytes it has, and how many fields.
    /// `None` when it does not end there, or there is none.
    fn read_row(&mut self, input: &[u8], is_end: bool) -> Option<(usize, usize)> {
        self.reader.reset();
        // A row's fields are never longer than the row.
        if self.fields.len() < input.len() {
            self.fields.resize(input.len(), 0);
        }
        let (mut used, mut written, mut count) = (0, 0, 0);
        let mut at_end = false;
        loop {
            let (result, read, wrote, ended) =
                self.reader
                    .read_record(&input[used..], &mut self.fields[written..], &mut self.ends[count..]);
            used += read;
            written += wrote;
            count += ended;
            match result {
                ReadRecordResult::Record => return Some((used, count)),
                ReadRecordResult::End => return None,
                // An empty input tells the parser that the input has ended.
                ReadRecordResult::InputEmpty if is_end && !at_end => at_end = true,
                ReadRecordResult::InputEmpty => return None,
                ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2 + 16, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            }
        }
    }
}

/// The fields of a row, by where each ends.
fn fields<'a>(bytes: &'a [u8], ends: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut start = 0;
    ends.iter().map(move |&end| {
        let field = &bytes[start..end];
        start = end;
        field
    })
}

fn names(bytes: &[u8], ends: &[usize]) -> Result<Vec<Vec<u8>>, String> {
    let mut head: Vec<Vec<u8>> = Vec::with_capacity(ends.len());
    for field in fields(bytes, ends) {
        let name = std::str::from_utf8(field).map_err(|e| format!("the head line is not UTF-8: {e}"))?;
        let mut member = Vec::with_capacity(name.len() + 3);
        write_string(name, &mut member);
        member.push(b':');
        if head.contains(&member) {
            return Err(format!("the head line has the name `{name}` twice"));
        }
        head.push(member);
    }
    Ok(head)
}

fn build(head: &[Vec<u8>], bytes: &[u8], ends: &[usize], built: &mut Vec<u8>) -> Result<(), String> {
    if head.len() != ends.len() {
        let plural = if ends.len() == 1 { "" } else { "s" };
        return Err(format!(
            "it has {} field{plural}, the head line has {}",
            ends.len(),
            head.len()
        ));
    }
    built.clear();
    built.push(b'{');
    for (i, (member, field)) in head.iter().zip(fields(bytes, ends)).enumerate() {
        let value = std::str::from_utf8(field).map_err(|e| format!("field {} is not UTF-8: {e}", i + 1))?;
        if i > 0 {
            built.push(b',');
        }
        built.extend_from_slice(member);
        write_string(value, built);
    }
    built.push(b'}');
    Ok(())
}

/// A text as a JSON string. Writing into memory has no errors.
fn write_string(text: &str, into: &mut Vec<u8>) {
    if let Err(error) = serde_json::to_writer(into, text) {
        tracing::error!(%error, "a text could not be written as JSON");
    }
}
