//! Credentials from Docker's config file.
//!
//! What `docker login` and `oras login` write under `auths` is read. Helpers (`credsStore`,
//! `credHelpers`) are programs named by a file, and are not run.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use crate::error::RegistryError;

/// Larger files are none of Docker's.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The name under which Docker keeps the credentials of its own registry.
const DOCKER_HUB: &str = "index.docker.io";

/// What a registry is asked with.
pub(crate) struct Credentials {
    pub(crate) auth: RegistryAuth,
    /// For messages: where they are from.
    pub(crate) used: String,
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    auths: HashMap<String, Entry>,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "registrytoken")]
    registry_token: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
}

/// Docker's config file: in `DOCKER_CONFIG`, or in `.docker` of the home directory.
pub(crate) fn config_file(var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")))?;
    Some(dir.join("config.json"))
}

/// What the file has for the registry; anonymous where it has nothing, or is not there.
///
/// # Errors
/// The file cannot be read, or is none of Docker's.
pub(crate) fn find(file: Option<&Path>, registry: &str) -> Result<Credentials, RegistryError> {
    let anonymous = |used: String| Credentials {
        auth: RegistryAuth::Anonymous,
        used,
    };
    let Some(file) = file else {
        return Ok(anonymous(
            "asked without credentials: there is no Docker config file".to_owned(),
        ));
    };
    let bad = |what: String| RegistryError::Credentials {
        path: file.to_owned(),
        what,
    };
    let bytes = match std::fs::metadata(file).and_then(|metadata| {
        if metadata.len() > FILE_BYTES_MAX {
            return Err(std::io::Error::other(format!(
                "it has more than {FILE_BYTES_MAX} bytes"
            )));
        }
        std::fs::read(file)
    }) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(anonymous(format!(
                "asked without credentials: there is no {}",
                file.display()
            )));
        }
        Err(error) => return Err(bad(error.to_string())),
    };
    let config: ConfigFile = serde_json::from_slice(&bytes)
        // Its message would show a part of the file.
        .map_err(|error| bad(format!("it is not as Docker writes it, line {}", error.line())))?;
    let Some((key, entry)) = config.auths.iter().find(|(key, _)| is_for(key, registry)) else {
        return Ok(anonymous(format!(
            "asked without credentials: {} has none for {registry} under `auths`",
            file.display()
        )));
    };
    let auth = entry.read().map_err(|what| bad(format!("`auths` of `{key}` {what}")))?;
    let used = match auth {
        RegistryAuth::Anonymous => format!(
            "asked without credentials: {} names {key} under `auths` and leaves them to a helper",
            file.display()
        ),
        _ => format!("asked with the credentials of {key} in {}", file.display()),
    };
    Ok(Credentials { auth, used })
}

/// Keys are hosts, or URLs as older versions wrote them.
fn is_for(key: &str, registry: &str) -> bool {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let host = key.split('/').next().unwrap_or(key);
    let plain = |host: &str| {
        if host == "docker.io" {
            DOCKER_HUB.to_owned()
        } else {
            host.to_ascii_lowercase()
        }
    };
    plain(host) == plain(registry)
}

impl Entry {
    fn read(&self) -> Result<RegistryAuth, &'static str> {
        if !self.registry_token.is_empty() {
            return Ok(RegistryAuth::Bearer(self.registry_token.clone()));
        }
        if !self.identity_token.is_empty() {
            return Err(
                "has an `identitytoken`, which is not supported; log in with a user and a password or an access token",
            );
        }
        let (user, password) = if self.auth.is_empty() {
            (self.username.clone(), self.password.clone())
        } else {
            let bytes = STANDARD
                .decode(&self.auth)
                .or_else(|_| STANDARD_NO_PAD.decode(&self.auth))
                .map_err(|_| "is not base64")?;
            let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
            let (user, password) = text.split_once(':').ok_or("is not `user:password`")?;
            // Some versions of Docker pad with zeros.
            (user.to_owned(), password.trim_end_matches('\0').to_owned())
        };
        if user.is_empty() && password.is_empty() {
            return Ok(RegistryAuth::Anonymous);
        }
        Ok(RegistryAuth::Basic(user, password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str, registry: &str) -> Result<Credentials, RegistryError> {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("config.json");
        std::fs::write(&file, json).expect("written");
        find(Some(&file), registry)
    }

    #[test]
    fn the_credentials_of_a_registry_are_those_under_its_name() {
        let auth = STANDARD.encode("me:pass:word");
        let json = format!(
            r#"{{"auths": {{"a.example": {{"auth": "{auth}"}}, "https://index.docker.io/v1/": {{"username": "u", "password": "p"}},
                "b.example:5000": {{"registrytoken": "t"}}, "c.example": {{}}}}, "credsStore": "x"}}"#
        );
        let of = |registry| found(&json, registry).expect(registry);
        assert_eq!(
            of("a.example").auth,
            RegistryAuth::Basic("me".into(), "pass:word".into())
        );
        assert!(of("a.example").used.contains("credentials of a.example"));
        assert_eq!(of("docker.io").auth, RegistryAuth::Basic("u".into(), "p".into()));
        assert_eq!(of("b.example:5000").auth, RegistryAuth::Bearer("t".into()));
        for anonymous in ["b.example", "c.example", "a.example.evil", "d.example"] {
            assert_eq!(of(anonymous).auth, RegistryAuth::Anonymous, "{anonymous}");
        }
        assert!(of("c.example").used.contains("helper"));
    }

    #[test]
    fn a_file_that_is_not_there_is_no_mistake_and_a_broken_one_is() {
        let nowhere = find(Some(Path::new("/nonexistent/config.json")), "a.example").expect("anonymous");
        assert_eq!(nowhere.auth, RegistryAuth::Anonymous);
        for (json, what) in [
            (r#"{"auths": {"a.example": {"auth": "#, "line 1"),
            (
                r#"{"auths": {"a.example": {"auth": "c2VjcmV0"}}}"#,
                "not `user:password`",
            ),
            (r#"{"auths": {"a.example": {"auth": "%%secret"}}}"#, "not base64"),
            (
                r#"{"auths": {"a.example": {"identitytoken": "secret"}}}"#,
                "identitytoken",
            ),
        ] {
            let error = found(json, "a.example").err().expect(json);
            assert!(
                error.to_string().contains(what) && !error.to_string().contains("secret"),
                "{error}"
            );
            assert_eq!(error.code().0, "E0239");
        }
    }

    #[test]
    fn docker_config_names_the_directory() {
        let with = |pairs: &[(&str, &str)]| {
            let pairs: HashMap<String, OsString> = pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), OsString::from(v)))
                .collect();
            config_file(|name| pairs.get(name).cloned())
        };
        assert_eq!(
            with(&[("DOCKER_CONFIG", "/d"), ("HOME", "/h")]),
            Some("/d/config.json".into())
        );
        assert_eq!(
            with(&[("DOCKER_CONFIG", ""), ("HOME", "/h")]),
            Some("/h/.docker/config.json".into())
        );
        assert_eq!(with(&[]), None);
    }
}
