//! Checks transforms: where the plugin is, what it says of itself, whether it takes its config.

use std::path::{Path, PathBuf};

use record::grant::Grant;
use record::topology::{Limits, Shadow};
use record::transform::Description;

use super::grants;
use crate::code;
use crate::diagnostic::{Problem, nearest};
use crate::raw::transforms::WasmTransform;
use crate::text::Span;
use crate::value::{Entry, Table, Value};
use crate::{ConfigProblem, PluginProblem};

/// Answers what a plugin says of itself and of its config.
pub type Describe<'a> = dyn FnMut(PluginUse<'_>) -> Result<Description, PluginProblem> + 'a;

/// A plugin as a transform uses it.
#[derive(Clone, Copy, Debug)]
pub struct PluginUse<'a> {
    /// The component: a file that is there, or an `oci://` reference as it is written, which the caller
    /// knows how to follow.
    pub path: &'a Path,
    /// The config table, as JSON.
    pub config: &'a str,
    /// The limits.
    pub limits: Limits,
    /// What the plugin may use beyond the contract.
    pub grant: &'a Grant,
}

/// What a reference to a plugin in a registry starts with.
const REMOTE: &str = "oci://";

/// A transform whose plugin is found.
pub(crate) struct Plugin {
    /// A file, or an `oci://` reference.
    pub path: PathBuf,
    /// As JSON, secrets filled in.
    pub config: String,
    pub description: Description,
    pub grant: Grant,
    /// What runs beside it.
    pub shadow: Option<Shadow>,
}

/// Where plugins may be.
pub(crate) struct Root<'a> {
    /// The pipeline file's directory, which paths are relative to.
    pub dir: &'a Path,
    /// As the user gave it, and resolved.
    pub root: &'a Path,
    pub resolved: Option<PathBuf>,
    /// What placeholders hold: blanked out of what plugins say.
    pub secrets: &'a [String],
}

impl Root<'_> {
    /// Whether a path, with its links resolved, lies under the root.
    pub(super) fn holds(&self, resolved: &Path) -> bool {
        self.resolved.as_ref().is_some_and(|root| resolved.starts_with(root))
    }
}

pub(crate) fn plugin(
    entry: &Entry,
    raw: &WasmTransform,
    root: &Root<'_>,
    describe: &mut Describe<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Plugin> {
    const EMPTY: &Table = &Table { entries: Vec::new() };
    let table = entry.value.as_table().unwrap_or(EMPTY);
    let span = table.span("plugin", entry.key_span);
    let before = problems.len();
    let path = component(&raw.plugin, span, root, problems);
    let beside = table.get("shadow").and_then(Value::as_table).unwrap_or(EMPTY);
    let beside_span = beside.span("plugin", table.span("shadow", entry.key_span));
    let shadow = raw.shadow.as_ref().and_then(|shadow| match &shadow.plugin {
        Some(plugin) => component(plugin, beside_span, root, problems),
        None => path.clone(),
    });
    let grant = grants::grant(table, &raw.grant, root, problems);
    let config = table.get("config");
    let mut bad = Vec::new();
    for config in [config, beside.get("config")].into_iter().flatten() {
        config.not_json(&mut bad);
    }
    problems.extend(bad.into_iter().map(|span| {
        Problem::new(
            code::NOT_JSON,
            span,
            "a plugin's config goes to it as JSON, which has neither `nan` nor `inf`",
        )
    }));
    let path = path?;
    if problems.len() > before
        || ![config, beside.get("config")]
            .into_iter()
            .flatten()
            .all(Value::is_filled)
    {
        return None;
    }
    let json = config.map_or_else(|| "{}".to_owned(), |config| config.to_json(true).to_string());
    let shadow = shadow.map(|plugin| Shadow {
        plugin,
        config: match beside.get("config") {
            Some(config) => config.to_json(true).to_string(),
            None => json.clone(),
        },
    });
    let used = PluginUse {
        path: &path,
        config: &json,
        limits: (&raw.limits).into(),
        grant: &grant,
    };
    match describe(used) {
        Ok(description) => {
            check_description(&raw.plugin, &description, span, problems);
            if let Some(Shadow { plugin, config }) = &shadow {
                let other = PluginUse {
                    path: plugin,
                    config,
                    ..used
                };
                if let Err(why) = fits(describe(other), &description) {
                    let why = blank(&why, root.secrets);
                    let message = format!("the shadow of `{}` cannot run beside it: {why}", entry.key);
                    problems.push(Problem::new(code::BAD_PLUGIN, beside_span, message));
                }
            }
            (problems.len() == before).then_some(Plugin {
                path,
                config: json,
                description,
                grant,
                shadow,
            })
        }
        Err(PluginProblem::Unusable(why)) => {
            let why = blank(&why, root.secrets);
            problems.push(
                Problem::new(
                    code::BAD_PLUGIN,
                    span,
                    format!("`{}` cannot be used: {why}", raw.plugin),
                )
                .help("`wasmill inspect` shows what a component is; `wasmill build` makes one"),
            );
            None
        }
        Err(PluginProblem::Remote { code, message, help }) => {
            let (message, help) = (blank(&message, root.secrets), blank(&help, root.secrets));
            problems.push(Problem::new(code, span, message).help(help));
            None
        }
        Err(PluginProblem::Config(list)) => {
            for ConfigProblem { pointer, message } in list {
                let message = blank(&message, root.secrets);
                let span = config.map_or(entry.key_span, |config| place_of(config, &pointer, table));
                let place = if pointer.is_empty() {
                    "config".to_owned()
                } else {
                    format!("config{}", pointer.replace('/', "."))
                };
                problems.push(Problem::new(
                    code::BAD_CONFIG,
                    span,
                    format!("`{}` refuses `{place}`: {message}", entry.key),
                ));
            }
            None
        }
    }
}

/// A file that is there, or a reference to a registry.
fn component(name: &str, span: Span, root: &Root<'_>, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    // Not a file: no root is looked at, and the digest says what may be there.
    if name.starts_with(REMOTE) {
        return Some(PathBuf::from(name));
    }
    locate(name, span, root, problems)
}

/// Whether another version of a plugin can be given the records and the state of one.
fn fits(shadow: Result<Description, PluginProblem>, of: &Description) -> Result<(), String> {
    let shadow = shadow.map_err(|problem| match problem {
        PluginProblem::Unusable(why) => why,
        PluginProblem::Remote { message, help, .. } => format!("{message}; {help}"),
        PluginProblem::Config(list) => {
            let all = list
                .iter()
                .map(|one| format!("it refuses `config{}`: {}", one.pointer, one.message));
            all.collect::<Vec<_>>().join("; ")
        }
    })?;
    let names = |of: &Description| {
        of.ports
            .iter()
            .map(|port| (port.name.clone(), port.rekeys))
            .collect::<Vec<_>>()
    };
    for (differs, what) in [
        (shadow.inputs != of.inputs, "inputs"),
        (names(&shadow) != names(of), "ports"),
        (shadow.stores != of.stores, "stores"),
        (shadow.state_version != of.state_version, "a state version"),
    ] {
        if differs {
            return Err(format!(
                "it has {what} that differ, so their results cannot be compared"
            ));
        }
    }
    Ok(())
}

/// The value that the pointer names; where it is not there, the table that lacks it.
fn place_of(config: &Value, pointer: &str, table: &Table) -> Span {
    let (value, key) = config.at_pointer(pointer);
    if value.as_table().is_none() {
        return value.span;
    }
    key.or_else(|| table.entry("config").map(|entry| entry.key_span))
        .unwrap_or(value.span)
}

fn blank(message: &str, secrets: &[String]) -> String {
    let mut message = message.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= 3) {
        message = message.replace(secret.as_str(), "***");
        // Plugins show JSON, in which quotes and the like are escaped.
        let escaped = serde_json::Value::from(secret.as_str()).to_string();
        message = message.replace(escaped.trim_matches('"'), "***");
    }
    message
}

fn locate(plugin: &str, span: Span, root: &Root<'_>, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    let path = root.dir.join(plugin);
    let resolved = match path.canonicalize() {
        Ok(resolved) if resolved.is_file() => resolved,
        Ok(_) => {
            problems.push(Problem::new(code::NO_PLUGIN, span, format!("`{plugin}` is not a file")));
            return None;
        }
        Err(error) => {
            problems.push(
                Problem::new(code::NO_PLUGIN, span, format!("there is no plugin `{plugin}`: {error}")).help(
                    beside(&path).unwrap_or_else(|| {
                        if plugin.contains("://") {
                            "a plugin is a path, or `oci://registry/name@sha256:...`".to_owned()
                        } else {
                            "the path is relative to the pipeline file; `wasmill build` makes plugins".to_owned()
                        }
                    }),
                ),
            );
            return None;
        }
    };
    if !root.holds(&resolved) {
        problems.push(
            Problem::new(
                code::PLUGIN_OUTSIDE,
                span,
                format!("`{plugin}` is not under the plugin root `{}`", root.root.display()),
            )
            .help("links are followed first; `--plugin-root DIR` names another root"),
        );
        return None;
    }
    Some(resolved)
}

/// The name in the same directory that was perhaps meant.
fn beside(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let mut names: Vec<String> = std::fs::read_dir(path.parent()?)
        .ok()?
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".wasm"))
        .collect();
    names.sort();
    nearest(wanted, names.iter().map(String::as_str), "plugins there")
}

/// What this version cannot run.
fn check_description(plugin: &str, description: &Description, span: Span, problems: &mut Vec<Problem>) {
    let mut refuse = |why: String| problems.push(Problem::new(code::BAD_PLUGIN, span, format!("`{plugin}` {why}")));
    if let Some(table) = description.stores.iter().find(|store| store.table) {
        refuse(format!(
            "reads the table `{}`, and this version of Wasmill has no tables",
            table.name
        ));
    }
    for (what, count) in [("inputs", description.inputs.len()), ("ports", description.ports.len())] {
        if count > usize::from(u8::MAX) {
            refuse(format!("has {count} {what}, more than {}", u8::MAX));
        }
    }
}
