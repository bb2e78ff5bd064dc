//! What `wasmill new` writes: templates and SDKs that are part of the binary, with names filled in.
//!
//! In a template's text and in the names of its files, `{{name}}` (in names of files also `NAME`) stands
//! for the name, and so does `{{ident}}` where it is a word of the language. Files whose own name would
//! mean something in the repository end in `.tmpl`, and `gitignore` gets its dot.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use rust_embed::RustEmbed;

/// Where a project keeps its copy of the SDK.
pub(crate) const SDK_DIR: &str = "wasmill-sdk";
/// As plugins may be named, which is checked at load too.
const NAME_BYTES_MAX: usize = 64;
/// Words of one of the languages, and modules that a plugin of that name would hide.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "box",
    "break",
    "case",
    "class",
    "const",
    "continue",
    "core",
    "crate",
    "def",
    "default",
    "do",
    "dyn",
    "else",
    "enum",
    "export",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "from",
    "func",
    "gen",
    "go",
    "if",
    "impl",
    "import",
    "in",
    "int",
    "interface",
    "is",
    "json",
    "lambda",
    "let",
    "loop",
    "macro",
    "main",
    "map",
    "match",
    "mod",
    "move",
    "mut",
    "new",
    "none",
    "not",
    "null",
    "or",
    "override",
    "package",
    "pass",
    "priv",
    "proc_macro",
    "pub",
    "raise",
    "range",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "string",
    "struct",
    "super",
    "switch",
    "test",
    "this",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "union",
    "unsafe",
    "unsized",
    "use",
    "var",
    "virtual",
    "void",
    "wasmill",
    "wasmill_sdk",
    "where",
    "while",
    "wit_world",
    "with",
    "yield",
];

/// The SDKs with their templates, as they are in the repository.
#[derive(RustEmbed)]
#[folder = "../../plugins/sdk"]
#[include = "rust/*"]
#[include = "go/*"]
#[include = "js/*"]
#[include = "python/*"]
#[include = "c/*"]
#[exclude = "*/node_modules/*"]
#[exclude = "*/target/*"]
#[exclude = "*/dist/*"]
#[exclude = "*/build/*"]
#[exclude = "*/.venv/*"]
#[exclude = "*/__pycache__/*"]
#[exclude = "*/.mypy_cache/*"]
#[exclude = "*/.ruff_cache/*"]
#[exclude = "*/.pytest_cache/*"]
#[exclude = "*.egg-info/*"]
#[exclude = "*.wasm"]
#[exclude = "*.pyc"]
#[exclude = "*.o"]
struct Sdks;

/// What is the same in every language: the pipeline, its test, its input and the README; and a
/// pipeline without a plugin.
#[derive(RustEmbed)]
#[folder = "templates"]
struct Common;

/// A language that `wasmill new` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    /// Rust
    Rust,
    /// Go
    Go,
    /// TypeScript or JavaScript
    #[value(alias = "ts", alias = "javascript", alias = "typescript")]
    Js,
    /// Python
    #[value(alias = "py")]
    Python,
    /// C, also from C++
    #[value(alias = "c++", alias = "cpp")]
    C,
}

impl Lang {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] = [Self::Rust, Self::Go, Self::Js, Self::Python, Self::C];

    /// As `--lang` takes it; the folder of its SDK.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Js => "js",
            Self::Python => "python",
            Self::C => "c",
        }
    }

    /// What is done once, before the first build.
    pub(crate) fn prepare(self) -> &'static [&'static str] {
        match self {
            Self::Rust | Self::Go | Self::C => &[],
            Self::Js => &["npm install"],
            Self::Python => &["python3 -m venv .venv", ".venv/bin/pip install componentize-py==0.25.1"],
        }
    }

    /// Runs the unit tests.
    pub(crate) fn test(self) -> &'static str {
        match self {
            Self::Rust => "cargo test",
            Self::Go => "go test .",
            Self::Js => "npm test",
            Self::Python => "PYTHONPATH=wasmill-sdk python3 -m unittest",
            Self::C => "make test",
        }
    }
}

/// A file to write: its place in the project, and what is in it.
type File = (PathBuf, Cow<'static, [u8]>);

/// Checks the name of a plugin: it is that of a module in each language.
pub(crate) fn check_plugin_name(name: &str) -> Result<(), String> {
    check_words(name, &['_'], "`_`", "word_count")?;
    if TAKEN.contains(&name) {
        return Err(format!(
            "`{name}` means something else in one of the languages; take another name"
        ));
    }
    Ok(())
}

/// Checks the name of a pipeline.
pub(crate) fn check_pipeline_name(name: &str) -> Result<(), String> {
    check_words(name, &['_', '-'], "`_` or `-`", "word-count")
}

fn check_words(name: &str, between: &[char], shown: &str, example: &str) -> Result<(), String> {
    let words_are_good = name
        .split(between)
        .all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
    if words_are_good && name.len() <= NAME_BYTES_MAX && name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(());
    }
    Err(format!(
        "`{name:.80}` is no name: a name is lower-case letters and digits in words with {shown} between them, begins \
         with a letter and has at most {NAME_BYTES_MAX} bytes, such as `{example}`"
    ))
}

/// The files of a new plugin.
pub(crate) fn plugin(name: &str, lang: Lang) -> Vec<File> {
    let template = format!("{}/template/", lang.id());
    let mut files: Vec<File> = Vec::new();
    for (path, bytes) in under::<Sdks>(&template) {
        files.push((named(&path, name), filled(bytes, name, lang)));
    }
    for (path, bytes) in under::<Common>("plugin/") {
        let (path, bytes) = (named(&path, name), filled(bytes, name, lang));
        match files.iter_mut().find(|(other, _)| *other == path) {
            // What a language says of itself comes first, then what is the same in all.
            Some((_, own)) if path == Path::new("README.md") => {
                own.to_mut().extend_from_slice(b"\n");
                own.to_mut().extend_from_slice(&bytes);
            }
            Some(_) => {}
            None => files.push((path, bytes)),
        }
    }
    files.extend(
        sdk(lang)
            .into_iter()
            .map(|(path, bytes)| (Path::new(SDK_DIR).join(path), bytes)),
    );
    files
}

/// The files of a new pipeline.
pub(crate) fn pipeline(name: &str) -> Vec<File> {
    under::<Common>("pipeline/")
        .map(|(path, bytes)| (named(&path, name), filled(bytes, name, Lang::Rust)))
        .collect()
}

/// The files of a language's SDK, without its template and its own tests.
pub(crate) fn sdk(lang: Lang) -> Vec<File> {
    under::<Sdks>(&format!("{}/", lang.id()))
        .filter(|(path, _)| {
            !["template/", "tests/", "test/", "scripts/"]
                .iter()
                .any(|dir| path.starts_with(dir))
        })
        .map(|(path, bytes)| (PathBuf::from(path), bytes))
        .collect()
}

/// The files under a folder, named from there.
fn under<E: RustEmbed>(folder: &str) -> impl Iterator<Item = (String, Cow<'static, [u8]>)> {
    E::iter().filter_map(move |path| {
        let inner = path.strip_prefix(folder)?.to_owned();
        Some((inner, E::get(&path)?.data))
    })
}

fn named(path: &str, name: &str) -> PathBuf {
    let path = path.strip_suffix(".tmpl").unwrap_or(path);
    let path = path
        .replace("{{name}}", name)
        .replace("{{ident}}", name)
        .replace("NAME", name);
    let path = PathBuf::from(path);
    match path.file_name() {
        Some(file) if file == "gitignore" => path.with_file_name(".gitignore"),
        _ => path,
    }
}

fn filled(bytes: Cow<'static, [u8]>, name: &str, lang: Lang) -> Cow<'static, [u8]> {
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return bytes;
    };
    if !text.contains("{{") {
        return bytes;
    }
    let steps: String = lang
        .prepare()
        .iter()
        .map(|step| format!("| `{step}` | once: installs what building and testing need |\n"))
        .collect();
    let text = text
        .replace("{{prepare}}\n", &steps)
        .replace("{{lang}}", lang.id())
        .replace("{{test}}", lang.test())
        .replace("{{name}}", name)
        .replace("{{ident}}", name);
    Cow::Owned(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_every_language_takes() {
        for name in ["word_count", "a", "p95"] {
            assert_eq!(check_plugin_name(name), Ok(()), "{name}");
            assert_eq!(check_pipeline_name(name), Ok(()), "{name}");
        }
        assert_eq!(check_pipeline_name("word-count"), Ok(()));
        assert!(check_plugin_name("word-count").is_err());
        for name in [
            "",
            "Word",
            "2nd",
            "a__b",
            "a-",
            "../a",
            "a/b",
            "\u{e9}t\u{e9}",
            &"a".repeat(65),
        ] {
            assert!(
                check_pipeline_name(name).is_err_and(|error| error.contains("a name is lower-case")),
                "{name}"
            );
        }
        assert!(check_plugin_name("type").is_err_and(|error| error.contains("something else")));
        assert!(check_plugin_name("wasmill_sdk").is_err());
    }

    #[test]
    fn every_language_has_a_template_and_an_sdk() {
        for lang in Lang::ALL {
            let files = plugin("two_words", lang);
            let has = |path: &str| files.iter().any(|(file, _)| file == Path::new(path));
            for path in ["README.md", "two_words.toml", "two_words.test.toml"] {
                assert!(has(path), "{lang:?}: {path}");
            }
            assert!(
                files.iter().filter(|(file, _)| file.starts_with(SDK_DIR)).count() > 2,
                "{lang:?}"
            );
            assert!(
                files.iter().filter(|(file, _)| !file.starts_with(SDK_DIR)).count() > 5,
                "{lang:?} has no template"
            );
            for (path, bytes) in &files {
                assert!(
                    !path.display().to_string().contains("node_modules"),
                    "{}",
                    path.display()
                );
                let text = String::from_utf8_lossy(bytes);
                if !path.starts_with(SDK_DIR) {
                    for left in ["{{name}}", "{{ident}}", "{{lang}}", "{{test}}", "{{prepare}}"] {
                        assert!(!text.contains(left), "{lang:?}: {left} is left in {}", path.display());
                    }
                    assert!(!path.display().to_string().contains("{{"), "{}", path.display());
                }
            }
        }
    }
}
