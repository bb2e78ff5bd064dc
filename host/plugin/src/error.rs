//! What can go wrong before a plugin runs records.

use std::path::{Path, PathBuf};

use record::error::{Code, Domain};

/// What is wrong in a transform's config table, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A JSON Pointer, "" for the whole table.
    pub pointer: String,
    /// For people.
    pub message: String,
}

/// Why a plugin cannot be built, loaded or configured.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file, or a directory, cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no component.
    #[error("{} is not a WebAssembly component: {message}", path.display())]
    NotAComponent {
        /// The file.
        path: PathBuf,
        /// What it is instead, and the remedy.
        message: String,
    },
    /// The file is larger than a component may be.
    #[error(
        "{} has {bytes} bytes, and a component may have {max}; raise `component_mib` in the transform's limits \
         if it is meant",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The component imports what plugins are not given.
    #[error("{} imports `{import}`, which Wasmill does not give to plugins: {remedy}", path.display())]
    ImportRefused {
        /// The file.
        path: PathBuf,
        /// The import's name.
        import: String,
        /// What to do.
        remedy: String,
    },
    /// The component lacks exports of the contract, or has them with other types.
    #[error("{} is not a plugin for `wasmill:plugin@{}`: {message}", path.display(), crate::CONTRACT_VERSION)]
    WrongWorld {
        /// The file.
        path: PathBuf,
        /// What is missing or different.
        message: String,
    },
    /// What the plugin says of itself is not acceptable.
    #[error("{} describes itself wrongly: {message}", path.display())]
    BadDescription {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The plugin says something else of itself than when it was built.
    #[error(
        "{} describes itself differently than when it was built: {message}; build it again with `wasmill build`",
        path.display()
    )]
    DescriptionChanged {
        /// The file.
        path: PathBuf,
        /// The first difference.
        message: String,
    },
    /// The plugin trapped, ran too long or took too much memory before its first record.
    #[error("the plugin {name} failed in `{during}`: {message}")]
    Failed {
        /// The file or the transform.
        name: String,
        /// Which of its functions ran.
        during: &'static str,
        /// What happened.
        message: String,
    },
    /// The plugin refuses its configuration.
    #[error("the plugin {name} refuses its configuration: {}", list(problems))]
    Config {
        /// The transform.
        name: String,
        /// Everything that is wrong.
        problems: Vec<Problem>,
    },
    /// There is nothing to build, or a manifest is wrong.
    #[error("{} is no plugin that can be built: {message}", dir.display())]
    NoProject {
        /// The directory.
        dir: PathBuf,
        /// What is wrong, and the remedy.
        message: String,
    },
    /// A tool that is needed for building is not there, or is too old.
    #[error("cannot build {}: {what}; {remedy}", dir.display())]
    ToolMissing {
        /// The plugin's directory.
        dir: PathBuf,
        /// What is missing.
        what: String,
        /// How to install it.
        remedy: String,
    },
    /// The source cannot be built.
    #[error("cannot build {}: {message}", dir.display())]
    Build {
        /// The plugin's directory.
        dir: PathBuf,
        /// What the tool said.
        message: String,
    },
    /// The engine itself cannot be made.
    #[error("the WebAssembly engine cannot be made: {0}")]
    Engine(String),
}

impl PluginError {
    /// Who can mend it.
    #[must_use]
    pub fn domain(&self) -> Domain {
        match self {
            Self::Io { .. }
            | Self::Config { .. }
            | Self::Build { .. }
            | Self::NoProject { .. }
            | Self::ToolMissing { .. }
            | Self::NotAComponent { .. }
            | Self::TooLarge { .. } => Domain::User,
            Self::ImportRefused { .. }
            | Self::WrongWorld { .. }
            | Self::BadDescription { .. }
            | Self::DescriptionChanged { .. }
            | Self::Failed { .. } => Domain::Plugin,
            Self::Engine(_) => Domain::System,
        }
    }

    /// The code of its page in docs/errors.
    #[must_use]
    pub fn code(&self) -> Code {
        Code(match self {
            Self::Io { .. } => "E0201",
            Self::NotAComponent { .. } => "E0202",
            Self::ImportRefused { .. } => "E0203",
            Self::WrongWorld { .. } => "E0204",
            Self::BadDescription { .. } => "E0205",
            Self::DescriptionChanged { .. } => "E0206",
            Self::Failed { .. } => "E0207",
            Self::Config { .. } => "E0208",
            Self::Build { .. } => "E0209",
            Self::Engine(_) => "E0210",
            Self::TooLarge { .. } => "E0219",
            Self::NoProject { .. } => "E0220",
            Self::ToolMissing { .. } => "E0221",
        })
    }

    pub(crate) fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| match problem.pointer.as_str() {
            "" => problem.message.clone(),
            pointer => format!("`{pointer}`: {}", problem.message),
        })
        .collect::<Vec<_>>()
        .join("; ")
}
