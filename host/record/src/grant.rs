//! What a transform is granted beyond the contract. Nothing, unless the pipeline says so.

use std::path::PathBuf;

/// The rights of one transform. The default grants nothing.
///
/// `Some` of an empty list opens the interface and hands nothing over: for toolchains that import
/// what a plugin never uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grant {
    /// Names of the host's environment variables that the plugin sees.
    pub env: Option<Vec<String>>,
    /// The clock on the wall and a monotonic one.
    pub clocks: bool,
    /// Random numbers.
    pub random: bool,
    /// Directories.
    pub dirs: Option<Vec<GrantedDir>>,
    /// Origins that requests may go to.
    pub http: Option<Vec<Origin>>,
}

impl Grant {
    /// Everything opened, and nothing handed over: for looking at a component.
    #[must_use]
    pub fn opened() -> Self {
        Self {
            env: Some(Vec::new()),
            clocks: true,
            random: true,
            dirs: Some(Vec::new()),
            http: Some(Vec::new()),
        }
    }

    /// Whether nothing is granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A directory of the host that a plugin sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrantedDir {
    /// The directory, absolute, with links resolved.
    pub host: PathBuf,
    /// The absolute path under which the plugin finds it.
    pub guest: String,
    /// Whether the plugin may write there.
    pub write: bool,
}

/// Scheme, host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// `https`, else `http`.
    pub tls: bool,
    /// In lower case; an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Origin {
    /// Reads `https://host`, `http://host:port` and the like.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err("it starts with neither `https://` nor `http://`".to_owned());
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Some(odd) = rest.find(['/', '?', '#', '@', '*', ' ', '\\']) {
            return Err(format!(
                "`{}` has no place in it: an origin is a scheme, a host and perhaps a port",
                rest[odd..].chars().next().unwrap_or(' ')
            ));
        }
        Self::of_authority(tls, rest)
    }

    /// Of the authority of a URL: a host and perhaps a port.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn of_authority(tls: bool, authority: &str) -> Result<Self, String> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or("a `]` is missing")?;
                if address.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(format!("`{address}` is no IPv6 address"));
                }
                (address, port.strip_prefix(':').or((!port.is_empty()).then_some("?")))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(text) => match text.parse::<u16>() {
                Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => port,
                _ => return Err(format!("`{text}` is no port")),
            },
        };
        let is_name = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
        if host.is_empty() || !is_name(host) {
            return Err(format!("`{host}` is no host"));
        }
        Ok(Self {
            tls,
            // A name with the dot of the root is the same name.
            host: host.trim_end_matches('.').to_ascii_lowercase(),
            port,
        })
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_as_what_they_mean() {
        for (text, shown) in [
            ("https://api.example.com", "https://api.example.com:443"),
            ("HTTPS://x", ""),
            ("http://Example.COM.", "http://example.com:80"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("https://[::1]:9", "https://[::1]:9"),
            ("http://[::1]", "http://[::1]:80"),
            ("http://[::1]9", ""),
            ("http://user@host", ""),
            ("http://host/path", ""),
            ("http://*.host", ""),
            ("http://", ""),
            ("http://host:0", ""),
            ("http://host:+80", ""),
            ("http://host:99999", ""),
            ("ftp://host", ""),
        ] {
            let found = Origin::parse(text).map_or_else(|_| String::new(), |origin| origin.to_string());
            assert_eq!(found, shown, "{text}");
        }
    }

    #[test]
    fn an_empty_list_is_a_grant() {
        assert!(Grant::default().is_empty());
        let opened = Grant {
            env: Some(Vec::new()),
            ..Grant::default()
        };
        assert!(!opened.is_empty());
    }
}
