//! Checks what transforms are granted: that directories are there and under the plugin root, and
//! that names and origins are such.

use record::grant::{Grant, GrantedDir, Origin};

use super::plugins::Root;
use crate::code;
use crate::diagnostic::Problem;
use crate::raw;
use crate::text::Span;
use crate::value::Table;

pub(super) fn grant(
    transform: &Table,
    raw: &raw::transforms::Grant,
    root: &Root<'_>,
    problems: &mut Vec<Problem>,
) -> Grant {
    const EMPTY: &Table = &Table { entries: Vec::new() };
    let table = transform
        .get("grant")
        .and_then(|value| value.as_table())
        .unwrap_or(EMPTY);
    let whole = transform.span("grant", Span::START);
    // The place of the n-th item of a list, or of the list.
    let item = |key: &str, n: usize| {
        let list = table.get(key).and_then(|value| value.as_array());
        let found = list.and_then(|items| items.get(n)).map(|item| item.span);
        found.unwrap_or_else(|| table.span(key, whole))
    };
    let env = raw.env.as_ref().map(|names| {
        for (n, name) in names.iter().enumerate() {
            if name.is_empty() || name.contains(['=', '\0']) {
                let what = format!("`{}` is no name of an environment variable", name.escape_debug());
                problems.push(Problem::new(code::BAD_GRANT, item("env", n), what));
            }
        }
        names.clone()
    });
    let http = raw.http.as_ref().map(|origins| {
        let mut granted = Vec::new();
        for (n, text) in origins.iter().enumerate() {
            match Origin::parse(text) {
                Ok(origin) => granted.push(origin),
                Err(why) => problems.push(
                    Problem::new(
                        code::BAD_GRANT,
                        item("http", n),
                        format!("`{}` is no server: {why}", text.escape_debug()),
                    )
                    .help("write `https://host` or `http://host:port`; each host by its full name"),
                ),
            }
        }
        granted
    });
    let dirs = raw.dir.as_ref().map(|dirs| {
        let mut granted: Vec<GrantedDir> = Vec::new();
        for (n, dir) in dirs.iter().enumerate() {
            match directory(dir, root) {
                Ok(dir) if granted.iter().any(|other| other.guest == dir.guest) => problems.push(Problem::new(
                    code::BAD_GRANT,
                    item("dir", n),
                    format!("two directories are `{}` to the plugin", dir.guest),
                )),
                Ok(dir) => granted.push(dir),
                Err((what, help)) => {
                    let mut problem = Problem::new(code::BAD_GRANT, item("dir", n), what);
                    if let Some(help) = help {
                        problem = problem.help(help);
                    }
                    problems.push(problem);
                }
            }
        }
        granted
    });
    Grant {
        env,
        clocks: raw.clocks,
        random: raw.random,
        dirs,
        http,
    }
}

/// The directory, or what is wrong with it and perhaps what to do.
fn directory(raw: &raw::transforms::GrantedDir, root: &Root<'_>) -> Result<GrantedDir, (String, Option<&'static str>)> {
    let segments = || raw.guest.split('/').skip(1);
    if !raw.guest.starts_with('/') || raw.guest.contains('\0') || segments().any(|part| part == ".." || part == ".") {
        let what = format!("`{}` is no absolute path", raw.guest.escape_debug());
        return Err((what, Some("`guest` is where the plugin finds it, such as `/data`")));
    }
    let host = root
        .dir
        .join(&raw.path)
        .canonicalize()
        .map_err(|error| (format!("there is no directory `{}`: {error}", raw.path), None))?;
    if !host.is_dir() {
        return Err((format!("`{}` is not a directory", raw.path), None));
    }
    if !root.holds(&host) {
        return Err((
            format!("`{}` is not under the plugin root `{}`", raw.path, root.root.display()),
            Some("links are followed first; `--plugin-root DIR` names another root"),
        ));
    }
    Ok(GrantedDir {
        host,
        guest: raw.guest.clone(),
        write: raw.write,
    })
}
