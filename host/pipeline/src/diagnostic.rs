//! What is wrong with a pipeline, and where: for people with a caret, for scripts as JSON.

use std::fmt;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::code::{self, Code};
use crate::text::{Sources, Span, Text};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The pipeline does not run.
    Error,
    /// It runs, but perhaps not as meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The stable code; its page is `docs/errors/<code>.md`.
    pub code: Code,
    /// One sentence.
    pub message: String,
    /// What to do, when that is known.
    pub help: Option<String>,
    /// The file, or the `--set` option, that it is about.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    also: Option<(usize, usize, String)>,
    start: usize,
    end: usize,
    text: Arc<Text>,
}

impl Diagnostic {
    pub(crate) fn new(problem: Problem, sources: &Sources) -> Self {
        let text = sources.get(problem.span.source);
        let (start, end) = text.clamp(problem.span);
        let (line, column) = text.line_and_column(start);
        let also = problem
            .also
            .filter(|(span, _)| span.source == problem.span.source)
            .map(|(span, label)| {
                let (start, end) = text.clamp(span);
                (start, end, label)
            });
        Self {
            severity: problem.severity,
            code: problem.code,
            message: problem.message,
            help: problem.help,
            file: text.name.clone(),
            line,
            column,
            also,
            start,
            end,
            text,
        }
    }

    fn is_at(&self, other: &Self) -> bool {
        self.code == other.code && (&self.file, self.start, self.end) == (&other.file, other.start, other.end)
    }

    /// With the line it is about and a caret under the place; `color` for a terminal.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let primary = AnnotationKind::Primary.span(self.start..self.end);
        let mut snippet = Snippet::source(self.text.shown.as_str())
            .path(self.file.as_str())
            .annotation(primary);
        if let Some((start, end, label)) = &self.also {
            snippet = snippet.annotation(AnnotationKind::Context.span(*start..*end).label(label.as_str()));
        }
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level
            .primary_title(self.message.as_str())
            .id(self.code.0)
            .element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Without the file's text, which may be long.
impl fmt::Debug for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {} {}",
            self.file, self.line, self.column, self.code, self.message
        )
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (end_line, end_column) = self.text.line_and_column(self.end);
        let mut s = serializer.serialize_struct("Diagnostic", 10)?;
        s.serialize_field(
            "severity",
            match self.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
        )?;
        s.serialize_field("code", self.code.0)?;
        s.serialize_field("message", &self.message)?;
        s.serialize_field("file", &self.file)?;
        s.serialize_field("line", &self.line)?;
        s.serialize_field("column", &self.column)?;
        s.serialize_field("end_line", &end_line)?;
        s.serialize_field("end_column", &end_column)?;
        s.serialize_field("help", &self.help)?;
        s.serialize_field("page", &format!("docs/errors/{}.md", self.code))?;
        s.end()
    }
}

/// All that is wrong, in the order of the file. At least one is an error.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Diagnostics {
    /// Errors and warnings.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// How many errors there are.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// All of them as [`Diagnostic::render`] shows each, and a last line that counts them.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut text = String::new();
        for diagnostic in &self.list {
            text.push_str(diagnostic.render(color).trim_end());
            text.push_str("\n\n");
        }
        let errors = self.errors();
        let plural = if errors == 1 { "" } else { "s" };
        text.push_str(&format!(
            "{errors} error{plural}; docs/errors has a page for each code\n"
        ));
        text
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// A diagnostic in the making: its place is still a span.
pub(crate) struct Problem {
    severity: Severity,
    code: Code,
    span: Span,
    message: String,
    help: Option<String>,
    also: Option<(Span, String)>,
}

impl Problem {
    pub(crate) fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            span,
            message: message.into(),
            help: None,
            also: None,
        }
    }

    pub(crate) fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::new(code, span, message)
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// Another place that belongs to it.
    pub(crate) fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.also = Some((span, label.into()));
        self
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn span(&self) -> Span {
        self.span
    }

    pub(crate) fn severity(&self) -> Severity {
        self.severity
    }
}

/// All diagnostics, sorted by place, each once.
pub(crate) fn finish(problems: Vec<Problem>, sources: &Sources) -> Vec<Diagnostic> {
    let mut problems = problems;
    problems.sort_by_key(|p| (p.span.source, p.span.start, p.span.end, p.code));
    let mut list: Vec<Diagnostic> = Vec::with_capacity(problems.len());
    for problem in problems {
        let diagnostic = Diagnostic::new(problem, sources);
        let again = list.last().is_some_and(|last| {
            // A number that is no number is not out of its range, too.
            let of_one_kind = diagnostic.code == code::OUT_OF_RANGE && last.is_at(&diagnostic);
            *last == diagnostic || of_one_kind
        });
        if !again {
            list.push(diagnostic);
        }
    }
    list
}

/// The one of `names` that was probably meant.
pub(crate) fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wanted, name), name))
        .filter(|(distance, _)| *distance <= 1 + wanted.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// "did you mean `x`?" for the nearest of `names`, or a list of all of them.
pub(crate) fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>, noun: &str) -> Option<String> {
    let names: Vec<&str> = names.into_iter().collect();
    match closest(wanted, names.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if names.is_empty() => None,
        None => {
            let shown: Vec<String> = names.iter().take(30).map(|name| format!("`{name}`")).collect();
            let more = if names.len() > shown.len() { ", ..." } else { "" };
            Some(format!("{noun}: {}{more}", shown.join(", ")))
        }
    }
}
