//! Which grant opens which interface. Nothing but the contract is open by itself.

use record::grant::Grant;
use wasmtime::component::types::ComponentItem;

/// What an import needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Any grant: what toolchains import beside the rest, and that reaches nothing.
    Any,
    /// `env`.
    Env,
    /// `clocks`.
    Clocks,
    /// `random`.
    Random,
    /// `dir`.
    Dir,
    /// `http`.
    Http,
    /// There is no grant for it.
    Never,
}

/// What is open without being named, once anything is granted. Standard output goes to the log,
/// standard input is empty, there is no terminal, and `exit` is a trap.
const ANY: [&str; 8] = [
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/exit",
    "wasi:cli/terminal-",
];

/// The keys of a grant that none of these imports needs.
pub(crate) fn idle(grant: &Grant, imports: &[String]) -> Vec<&'static str> {
    let needs: Vec<Need> = imports.iter().filter_map(|name| Need::of_name(name)).collect();
    // What only opens what tools bring along has done its work.
    let opens_any = needs.contains(&Need::Any) && needs.iter().all(|need| matches!(need, Need::Any | Need::Never));
    [
        ("env", Need::Env, grant.env.is_some()),
        ("clocks", Need::Clocks, grant.clocks),
        ("random", Need::Random, grant.random),
        ("dir", Need::Dir, grant.dirs.is_some()),
        ("http", Need::Http, grant.http.is_some()),
    ]
    .into_iter()
    .filter(|(_, need, is_given)| *is_given && !needs.contains(need) && !opens_any)
    .map(|(key, ..)| key)
    .collect()
}

impl Need {
    /// What an import needs. `None`: it is none of WASI's.
    pub(crate) fn of(name: &str, item: &ComponentItem, wasm: &wasmtime::Engine) -> Option<Self> {
        let need = Self::of_name(name)?;
        // One interface imports another for its types: that reaches nothing.
        if need != Self::Never
            && let ComponentItem::ComponentInstance(instance) = item
            && instance
                .exports(wasm)
                .all(|(_, export)| matches!(export.ty, ComponentItem::Type(_)))
        {
            return Some(Self::Any);
        }
        Some(need)
    }

    /// What the functions of the interface of this name need. `None`: it is none of WASI's.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        if !name.starts_with("wasi:") {
            return None;
        }
        let (interface, version) = name.split_once('@').unwrap_or((name, ""));
        if !version.starts_with("0.2.") {
            return Some(Self::Never);
        }
        Some(match interface {
            "wasi:cli/environment" => Self::Env,
            "wasi:clocks/wall-clock" | "wasi:clocks/monotonic-clock" => Self::Clocks,
            "wasi:random/random" | "wasi:random/insecure" | "wasi:random/insecure-seed" => Self::Random,
            "wasi:filesystem/types" | "wasi:filesystem/preopens" => Self::Dir,
            "wasi:http/types" | "wasi:http/outgoing-handler" => Self::Http,
            other if ANY.iter().any(|open| other.starts_with(open)) => Self::Any,
            _ => Self::Never,
        })
    }

    /// Whether a grant opens it.
    pub(crate) fn is_met(self, grant: &Grant) -> bool {
        match self {
            Self::Any => !grant.is_empty(),
            Self::Env => grant.env.is_some(),
            Self::Clocks => grant.clocks,
            Self::Random => grant.random,
            Self::Dir => grant.dirs.is_some(),
            Self::Http => grant.http.is_some(),
            Self::Never => false,
        }
    }

    /// The key in `[transforms.NAME.grant]`, as it is written there to open the interface alone.
    pub(crate) fn key(self) -> Option<&'static str> {
        match self {
            Self::Any | Self::Env => Some("env = []"),
            Self::Clocks => Some("clocks = true"),
            Self::Random => Some("random = true"),
            Self::Dir => Some("dir = []"),
            Self::Http => Some("http = []"),
            Self::Never => None,
        }
    }

    /// What to do about an import that is not granted.
    pub(crate) fn remedy(self) -> String {
        match self.key() {
            Some(key) => format!(
                "build it with `wasmill build`, for a target without WASI, or open it with `{key}` in \
                 `[transforms.NAME.grant]`"
            ),
            None => "no grant opens it; build it with `wasmill build`, for a target without WASI".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_that_opens_nothing_is_idle() {
        let all = ["env", "clocks", "random", "dir", "http"];
        let of = |imports: &[&str]| {
            let imports: Vec<String> = imports.iter().map(|name| (*name).to_owned()).collect();
            idle(&Grant::opened(), &imports)
        };
        assert_eq!(of(&["wasmill:plugin/state@0.1.2"]), all);
        assert_eq!(
            of(&["wasi:clocks/wall-clock@0.2.3", "wasi:io/poll@0.2.3"]),
            ["env", "random", "dir", "http"]
        );
        // Any grant was needed for this one.
        assert_eq!(of(&["wasi:io/poll@0.2.3"]), [""; 0]);
        assert_eq!(idle(&Grant::default(), &[]), [""; 0]);
    }
}
