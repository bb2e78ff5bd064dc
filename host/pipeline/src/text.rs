//! The texts that a pipeline is made of: its file, and one per `--set`. Places in them are spans.

use std::sync::Arc;

/// A place: bytes of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    /// Which text.
    pub source: usize,
    /// The first byte.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
}

impl Span {
    /// The start of the pipeline file: where what is missing altogether is reported.
    pub(crate) const START: Self = Self {
        source: 0,
        start: 0,
        end: 0,
    };
}

/// A text as it is shown: what may be a secret is blanked out, every byte of it, so that places
/// stay where they are.
#[derive(PartialEq, Eq)]
pub(crate) struct Text {
    pub name: String,
    pub shown: String,
}

impl Text {
    /// The span within this text and on the borders of characters.
    pub(crate) fn clamp(&self, span: Span) -> (usize, usize) {
        let mut start = span.start.min(self.shown.len());
        while !self.shown.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = span.end.clamp(start, self.shown.len());
        while !self.shown.is_char_boundary(end) {
            end += 1;
        }
        (start, end)
    }

    /// From 1; columns count characters.
    pub(crate) fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = self.shown.get(..at).unwrap_or(&self.shown);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

/// The texts of a pipeline; 0 is its file.
pub(crate) struct Sources(Vec<Arc<Text>>);

impl Sources {
    /// `texts` are names and contents, `secret` the places to blank out.
    pub(crate) fn new(texts: Vec<(String, String)>, secret: &[Span]) -> Self {
        let texts = texts.into_iter().enumerate().map(|(source, (name, text))| {
            let spans: Vec<_> = secret.iter().filter(|span| span.source == source).collect();
            let shown = if spans.is_empty() { text } else { blank(&text, &spans) };
            Arc::new(Text { name, shown })
        });
        Self(texts.collect())
    }

    pub(crate) fn get(&self, source: usize) -> Arc<Text> {
        let unknown = || {
            Arc::new(Text {
                name: String::new(),
                shown: String::new(),
            })
        };
        self.0.get(source).cloned().unwrap_or_else(unknown)
    }
}

fn blank(text: &str, spans: &[&Span]) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let hidden = spans.iter().any(|span| span.start <= at && at < span.end);
        if hidden && c != '\n' && c != '"' && c != '\'' {
            out.extend(std::iter::repeat_n('*', c.len_utf8()));
        } else {
            out.push(c);
        }
    }
    out
}
