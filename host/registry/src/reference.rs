//! References to plugins: `oci://registry/name@sha256:...`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::RegistryError;

/// What a reference starts with.
pub const SCHEME: &str = "oci://";

/// The longest name of a repository, with its registry: what registries accept.
const NAME_MAX: usize = 255;

/// Whether this is meant to be a reference and not a path.
#[must_use]
pub fn is_reference(text: &str) -> bool {
    text.starts_with(SCHEME)
}

/// A repository of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// `host` or `host:port`.
    pub registry: String,
    /// The name in the registry, `team/plugins/split`.
    pub name: String,
}

impl Repository {
    /// Whether the registry is on this machine: it may be spoken to without TLS.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = host_of(&self.registry);
        host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.registry, self.name)
    }
}

/// A plugin in a registry, pinned: `oci://registry/name@sha256:...` or
/// `oci://registry/name:tag@sha256:...`.
///
/// The digest is that of the manifest. A tag beside it is for people: it is not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it is.
    pub repository: Repository,
    /// For people.
    pub tag: Option<String>,
    /// What it is.
    pub digest: Digest,
}

impl FromStr for Reference {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let bad = |what: String| RegistryError::bad_reference(text, what);
        let rest = strip(text)?;
        let Some((place, digest)) = rest.rsplit_once('@') else {
            // What is wrong elsewhere comes first: the remedy shows the reference.
            parse_place(text, rest)?;
            return Err(RegistryError::NotPinned { text: text.to_owned() });
        };
        let (repository, tag) = parse_place(text, place)?;
        let digest = Digest::parse(digest).map_err(bad)?;
        Ok(Self {
            repository,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        write!(f, "@{}", self.digest)
    }
}

/// Where a plugin is to be pushed: `oci://registry/name:tag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub repository: Repository,
    /// Under which tag.
    pub tag: String,
}

impl FromStr for Target {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let rest = strip(text)?;
        let bad = |what: &str| RegistryError::bad_reference(text, what);
        if rest.contains('@') {
            return Err(bad("a push goes to a tag; the registry's answer gives the digest"));
        }
        let (repository, tag) = parse_place(text, rest)?;
        let tag = tag.ok_or_else(|| bad("a push needs a tag, `oci://registry/name:tag`"))?;
        Ok(Self { repository, tag })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

fn strip(text: &str) -> Result<&str, RegistryError> {
    text.strip_prefix(SCHEME)
        .ok_or_else(|| RegistryError::bad_reference(text, format!("it does not start with `{SCHEME}`")))
}

/// `registry/name` or `registry/name:tag`.
fn parse_place(text: &str, place: &str) -> Result<(Repository, Option<String>), RegistryError> {
    let bad = |what: String| RegistryError::bad_reference(text, what);
    let (registry, path) = place
        .split_once('/')
        .ok_or_else(|| bad("it names a registry and no repository; write `oci://registry/name`".to_owned()))?;
    check_registry(registry).map_err(bad)?;
    let (name, tag) = match path.split_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (path, None),
    };
    if !is_name(name) || name.len() + registry.len() > NAME_MAX {
        return Err(bad(format!(
            "`{name}` is not the name of a repository: lower-case letters and digits, with `.`, `_`, `-` between them, parts separated by `/`, at most {NAME_MAX} characters with the registry"
        )));
    }
    if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
        return Err(bad(format!(
            "`{tag}` is not a tag: letters, digits, `_`, `.` and `-`, at most 128"
        )));
    }
    let repository = Repository {
        registry: registry.to_owned(),
        name: name.to_owned(),
    };
    Ok((repository, tag.map(str::to_owned)))
}

fn check_registry(registry: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("`{registry}` is not a registry: {why}"));
    if registry.is_empty() {
        return Err("the registry's host is missing; write `oci://registry/name`".to_owned());
    }
    if registry.contains('@') {
        // Not repeated: it may hold a password.
        return Err(
            "it has a user before the registry; credentials come from Docker's config file (`docker login`)".to_owned(),
        );
    }
    let host = host_of(registry);
    let port = &registry[registry.find(host).map_or(0, |at| at + host.len())..];
    let port = port.strip_prefix(']').unwrap_or(port);
    let port_is_good = match port.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+'),
        None => port.is_empty(),
    };
    if !port_is_good {
        return wrong("its port is a number from 1 to 65535");
    }
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_ipv6() != registry.starts_with('[') => wrong("IPv6 addresses stand in brackets"),
        // Where clouds keep the credentials of their machines.
        Ok(ip) if is_link_local(ip) => wrong("it is a link-local address"),
        Ok(ip) if ip.is_unspecified() || ip.is_multicast() => wrong("nothing can be there"),
        Ok(_) => Ok(()),
        Err(_) if is_host_name(host) && !registry.starts_with('[') => Ok(()),
        Err(_) => wrong("a host is letters and digits, with `-` and `.` between them, and perhaps a port"),
    }
}

/// Without the port, and without the brackets of IPv6.
fn host_of(registry: &str) -> &str {
    match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => registry.split_once(':').map_or(registry, |(host, _)| host),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_link_local()),
    }
}

fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // Numbers with dots that are no address would be read as one by some resolvers.
    let is_number = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    host.len() <= 253 && !is_number && host.split('.').all(is_label)
}

/// As the distribution specification says: parts of `[a-z0-9]+`, separated by `.`, `_`, `__` or
/// dashes.
fn is_name(name: &str) -> bool {
    name.split('/').all(|part| {
        let is_edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let separators_are_good = part
            .split(|c: char| c.is_ascii_alphanumeric())
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'));
        is_edge(part.bytes().next())
            && is_edge(part.bytes().next_back())
            && separators_are_good
            && !part.bytes().any(|b| b.is_ascii_uppercase())
    })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn error(text: &str) -> String {
        text.parse::<Reference>().expect_err(text).to_string()
    }

    #[test]
    fn a_reference_is_read_and_written_as_it_was() {
        for place in [
            "registry.example/split",
            "registry.example:5000/team/plugins/word_split",
            "127.0.0.1:5000/a__b/c--d.e",
            "[::1]:5000/a",
            "localhost/a:v1.0-rc_2",
        ] {
            let text = format!("oci://{place}@sha256:{HEX}");
            assert_eq!(text.parse::<Reference>().expect(&text).to_string(), text);
        }
    }

    #[test]
    fn a_reference_without_a_digest_is_told_how_to_find_it() {
        for text in ["oci://r.example/split", "oci://r.example/split:v1"] {
            let error = text.parse::<Reference>().expect_err(text);
            assert_eq!(error.code().0, "E0231");
            assert!(error.to_string().contains("not pinned"), "{error}");
            assert!(
                error.next().contains("wasmill push") && error.next().contains("oras"),
                "{}",
                error.next()
            );
        }
    }

    #[test]
    fn a_bad_reference_names_the_part_that_is_wrong() {
        let pinned = |place: &str| error(&format!("oci://{place}@sha256:{HEX}"));
        assert!(pinned("r.example").contains("no repository"));
        assert!(pinned("/split").contains("host is missing"));
        assert!(pinned("a_b.example/split").contains("`a_b.example` is not a registry"));
        assert!(pinned("r.example:0/split").contains("port"));
        assert!(pinned("r.example:70000/split").contains("port"));
        assert!(pinned("r.example:+1/split").contains("port"));
        assert!(pinned("[::1/split").contains("is not a registry"));
        assert!(pinned("1.2.3/split").contains("is not a registry"));
        assert!(pinned("169.254.169.254/split").contains("link-local"));
        assert!(pinned("[fe80::1]/split").contains("link-local"));
        assert!(pinned("[::ffff:169.254.169.254]/split").contains("link-local"));
        assert!(pinned("r.example/Split").contains("`Split` is not the name"));
        assert!(pinned("r.example/a//b").contains("is not the name"));
        assert!(pinned("r.example/../b").contains("is not the name"));
        assert!(pinned("r.example/a?x=y").contains("is not the name"));
        assert!(pinned("r.example/a%2fb").contains("is not the name"));
        assert!(pinned("r.example/a:-v").contains("is not a tag"));
        assert!(error("oci://r.example/a@sha512:00").contains("sha256"));
        assert!(error(&format!("oci://r.example/a@sha256:{}", &HEX[1..])).contains("63"));
        assert!(error(&format!("oci://r.example/a@sha256:{}", HEX.to_uppercase())).contains("lower-case"));
    }

    #[test]
    fn a_password_in_a_reference_is_not_repeated() {
        let text = format!("oci://me:hunter2@r.example/split@sha256:{HEX}");
        let error = text.parse::<Reference>().expect_err("refused");
        assert!(error.to_string().contains("docker login"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_push_goes_to_a_tag() {
        assert_eq!(
            "oci://r.example/a:v1".parse::<Target>().expect("a target").to_string(),
            "oci://r.example/a:v1"
        );
        for text in ["oci://r.example/a", "oci://r.example/a:v1@sha256:00", "r.example/a:v1"] {
            text.parse::<Target>().expect_err(text);
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        let of = |registry: &str| Repository {
            registry: registry.to_owned(),
            name: "a".to_owned(),
        };
        for loopback in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            assert!(of(loopback).is_loopback(), "{loopback}");
        }
        for other in ["localhost.example", "10.0.0.1:5000", "127.0.0.1.example", "[::2]"] {
            assert!(!of(other).is_loopback(), "{other}");
        }
    }
}
