//! What goes between a registry and this machine.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;

use bytes::Bytes;
use futures_util::StreamExt;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use oci_client::{Client, Reference as Image, RegistryOperation};
use sha2::{Digest as _, Sha256};

use crate::artifact::{self, About, Layer};
use crate::cache::Cache;
use crate::credentials::{self, Credentials};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::reference::{Reference, Repository, Target};
use crate::{Limits, Pushed};

/// Manifests of plugins have less than 1 KiB.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

const MANIFEST_NOUN: &str = "the manifest";
const LAYER_NOUN: &str = "the component";

pub(crate) fn pull(reference: &Reference, cache_dir: &Path, limits: &Limits) -> Result<PathBuf, RegistryError> {
    let cache = Cache::open(cache_dir)?;
    let mut pull = Pull {
        reference,
        cache: &cache,
        limits,
        session: None,
    };
    let manifest = match cache.manifest(&reference.digest, MANIFEST_BYTES_MAX) {
        Some(bytes) => bytes,
        None => pull.manifest()?,
    };
    let layer = artifact::read(&manifest).map_err(|what| RegistryError::NotAPlugin {
        place: reference.to_string(),
        what,
    })?;
    if layer.size > limits.component_bytes {
        return Err(too_large(reference, LAYER_NOUN, limits.component_bytes));
    }
    match cache.layer(&layer.digest, limits.component_bytes) {
        Some(path) => Ok(path),
        None => pull.layer(&layer),
    }
}

/// A pull that needs the registry; it is asked at most once for each part.
struct Pull<'a> {
    reference: &'a Reference,
    cache: &'a Cache,
    limits: &'a Limits,
    session: Option<Session>,
}

impl Pull<'_> {
    fn session(&mut self) -> Result<&Session, RegistryError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::new(
                &self.reference.repository,
                self.limits,
                "pull",
                self.reference.to_string(),
            )?,
        };
        Ok(self.session.insert(session))
    }

    fn image(&self) -> Image {
        let Repository { registry, name } = &self.reference.repository;
        Image::with_digest(registry.clone(), name.clone(), self.reference.digest.to_string())
    }

    fn manifest(&mut self) -> Result<Vec<u8>, RegistryError> {
        let (image, reference, cache) = (self.image(), self.reference, self.cache);
        let session = self.session()?;
        let bytes = session.run(async |client| {
            // Whatever it is: what it is instead of a plugin is found and named by its content.
            let kinds = [artifact::MANIFEST, "*/*"];
            let answer = client
                .pull_manifest_raw(&image, &session.credentials.auth, &kinds)
                .await;
            answer
                .map(|(bytes, _)| bytes)
                .map_err(|error| session.error(error, MANIFEST_NOUN, &reference.digest))
        })?;
        let found = Digest::of(&bytes);
        if found != reference.digest {
            return Err(session.tampered(MANIFEST_NOUN, &reference.digest, found.to_string()));
        }
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(too_large(reference, MANIFEST_NOUN, MANIFEST_BYTES_MAX));
        }
        cache.keep_manifest(&reference.digest, &bytes)?;
        Ok(bytes.to_vec())
    }

    fn layer(&mut self, layer: &Layer) -> Result<PathBuf, RegistryError> {
        let (image, reference, cache, max) = (self.image(), self.reference, self.cache, self.limits.component_bytes);
        let session = self.session()?;
        let file = session.run(async |client| {
            let failed = |error| session.error(error, LAYER_NOUN, &layer.digest);
            client
                .store_auth_if_needed(image.resolve_registry(), &session.credentials.auth)
                .await;
            let mut stream = client
                .pull_blob_stream(&image, layer.digest.as_str())
                .await
                .map_err(failed)?;
            let mut file = cache.new_file()?;
            let (mut hasher, mut size, mut start) = (Sha256::new(), 0_u64, Vec::new());
            while let Some(bytes) = stream.next().await {
                let bytes = bytes.map_err(|error| failed(error.into()))?;
                size += bytes.len() as u64;
                if size > max {
                    return Err(too_large(reference, LAYER_NOUN, max));
                }
                if start.len() < 8 {
                    start.extend(bytes.iter().take(8));
                }
                hasher.update(&bytes);
                file.write_all(&bytes)
                    .map_err(|error| RegistryError::io("write", file.path(), error))?;
            }
            let found = Digest::finish(hasher);
            if found != layer.digest {
                return Err(session.tampered(LAYER_NOUN, &layer.digest, found.to_string()));
            }
            artifact::check_component(&start).map_err(|what| RegistryError::NotAPlugin {
                place: reference.to_string(),
                what: what.to_owned(),
            })?;
            Ok(file)
        })?;
        cache.keep_layer(&layer.digest, file)
    }
}

pub(crate) fn push(file: &Path, target: &Target, about: &About, limits: &Limits) -> Result<Pushed, RegistryError> {
    let component = read_component(file, limits.component_bytes)?;
    let artifact = artifact::make(&component, about)
        .map_err(|error| RegistryError::io("describe", file, std::io::Error::other(error)))?;
    let Repository { registry, name } = &target.repository;
    let image = Image::with_tag(registry.clone(), name.clone(), target.tag.clone());
    let pushed = Image::with_digest(registry.clone(), name.clone(), artifact.manifest_digest.to_string());
    let reference = Reference {
        repository: target.repository.clone(),
        tag: Some(target.tag.clone()),
        digest: artifact.manifest_digest.clone(),
    };
    let result = Pushed {
        reference,
        component: artifact.layer.digest.clone(),
        size: artifact.layer.size,
    };
    let session = Session::new(&target.repository, limits, "push", target.to_string())?;
    session.run(async |client| {
        let digest = &artifact.manifest_digest;
        let failed = |error| session.error(error, MANIFEST_NOUN, digest);
        // A wrong password is said here; later it would be an upload without one.
        let auth = &session.credentials.auth;
        client
            .auth(&image, auth, RegistryOperation::Push)
            .await
            .map_err(failed)?;
        let blobs = [
            (Bytes::from(component), &artifact.layer.digest),
            (Bytes::from(artifact.config), &artifact.config_digest),
        ];
        for (bytes, digest) in blobs {
            if !client.blob_exists(&image, digest.as_str()).await.unwrap_or(false) {
                client.push_blob(&image, bytes, digest.as_str()).await.map_err(failed)?;
            }
        }
        let kind = artifact::MANIFEST
            .parse()
            .map_err(|_| session.unreachable("the media type is none"))?;
        client
            .push_manifest_raw(&image, artifact.manifest, kind)
            .await
            .map_err(failed)?;
        // Some registries write manifests anew, with another digest: the reference would lead nowhere.
        let (bytes, _) = client
            .pull_manifest_raw(&pushed, auth, &[artifact::MANIFEST])
            .await
            .map_err(failed)?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(session.tampered(MANIFEST_NOUN, digest, found.to_string()));
        }
        Ok(())
    })?;
    Ok(result)
}

fn read_component(path: &Path, max: u64) -> Result<Vec<u8>, RegistryError> {
    let io = |error| RegistryError::io("read", path, error);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(io)?;
    file.take(max + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > max {
        return Err(RegistryError::TooLarge {
            place: path.display().to_string(),
            what: LAYER_NOUN,
            max,
        });
    }
    artifact::check_component(&bytes).map_err(|what| RegistryError::NotAPlugin {
        place: path.display().to_string(),
        what: what.to_owned(),
    })?;
    Ok(bytes)
}

fn too_large(reference: &Reference, what: &'static str, max: u64) -> RegistryError {
    RegistryError::TooLarge {
        place: reference.to_string(),
        what,
        max,
    }
}

/// A client of one registry.
struct Session {
    client: Client,
    runtime: tokio::runtime::Runtime,
    credentials: Credentials,
    limits: Limits,
    /// What is done, and to which reference: for messages.
    doing: &'static str,
    place: String,
}

impl Session {
    fn new(
        repository: &Repository,
        limits: &Limits,
        doing: &'static str,
        place: String,
    ) -> Result<Self, RegistryError> {
        let unreachable = |why: String| RegistryError::Unreachable {
            what: doing,
            place: place.clone(),
            why,
        };
        let file = credentials::config_file(|name| std::env::var_os(name));
        let credentials = credentials::find(file.as_deref(), &repository.registry)?;
        use_ring();
        let plain = if repository.is_loopback() {
            vec![repository.registry.clone()]
        } else {
            Vec::new()
        };
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(plain),
            // A component is one file for all machines: a list of images is none.
            platform_resolver: None,
            connect_timeout: Some(limits.connect),
            read_timeout: Some(limits.silence),
            user_agent: concat!("wasmill/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        // Not `Client::new`, which goes on with other settings after an error.
        let client = Client::try_from(config).map_err(|error| unreachable(chain(&error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unreachable(error.to_string()))?;
        Ok(Self {
            client,
            runtime,
            credentials,
            limits: *limits,
            doing,
            place,
        })
    }

    /// Runs work with the client, and ends it when it takes too long.
    fn run<T>(&self, work: impl AsyncFnOnce(&Client) -> Result<T, RegistryError>) -> Result<T, RegistryError> {
        self.runtime.block_on(async {
            match tokio::time::timeout(self.limits.total, work(&self.client)).await {
                Ok(result) => result,
                Err(_) => Err(self.unreachable(format!("it took longer than {} s", self.limits.total.as_secs()))),
            }
        })
    }

    fn unreachable(&self, why: impl Into<String>) -> RegistryError {
        RegistryError::Unreachable {
            what: self.doing,
            place: self.place.clone(),
            why: why.into(),
        }
    }

    fn tampered(&self, what: &'static str, wanted: &Digest, found: String) -> RegistryError {
        RegistryError::Tampered {
            place: self.place.clone(),
            what,
            wanted: wanted.clone(),
            found,
        }
    }

    /// What the client's error is for the user. Answers of registries are repeated only where they
    /// have the form that the specification gives them: else they may be a page of anything.
    fn error(&self, error: OciDistributionError, what: &'static str, wanted: &Digest) -> RegistryError {
        use OciDistributionError as E;
        let refused = || RegistryError::Refused {
            what: self.doing,
            place: self.place.clone(),
            used: self.credentials.used.clone(),
        };
        let not_there = || RegistryError::NotThere {
            place: self.place.clone(),
            what: format!("{what} {wanted}"),
        };
        match error {
            E::UnauthorizedError { .. } | E::AuthenticationFailure(_) | E::ServerError { code: 401 | 403, .. } => {
                refused()
            }
            E::ServerError { code: 404, .. } | E::ImageManifestNotFoundError(_) => not_there(),
            E::ServerError { code, .. } if code >= 500 && what == MANIFEST_NOUN && self.doing == "pull" => self
                .unreachable(format!(
                    "the registry answers with status {code}, as some do for a digest that is not that of a manifest"
                )),
            E::ServerError { code, .. } => self.unreachable(format!("the registry answers with status {code}")),
            E::RegistryError { envelope, .. } => {
                use OciErrorCode as C;
                let has = |codes: &[C]| envelope.errors.iter().any(|error| codes.contains(&error.code));
                if has(&[C::Unauthorized, C::Denied]) {
                    refused()
                } else if has(&[C::ManifestUnknown, C::BlobUnknown, C::NameUnknown, C::NotFound]) {
                    not_there()
                } else {
                    let said: Vec<String> = envelope
                        .errors
                        .iter()
                        .map(|e| format!("{:?} {}", e.code, e.message))
                        .collect();
                    self.unreachable(format!("the registry answers: {}", said.join("; ").trim()))
                }
            }
            E::DigestError(DigestError::VerificationError { actual, .. }) => self.tampered(what, wanted, actual),
            E::IoError(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(DigestError::VerificationError { actual, .. }) => self.tampered(what, wanted, actual.clone()),
                _ => self.unreachable(chain(&error)),
            },
            other => self.unreachable(chain(&other)),
        }
    }
}

/// The message of an error and of what lies under it, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        next = error.source();
    }
    text
}

/// rustls asks for one provider of cryptography for the whole process.
fn use_ring() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that there is one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
