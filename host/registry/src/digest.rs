//! SHA-256 digests as registries write them.

use std::fmt;

use sha2::{Digest as _, Sha256};

const ALGORITHM: &str = "sha256:";
const HEX_DIGITS: usize = 64;

/// `sha256:` and 64 hexadecimal digits. Other algorithms are not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest(String);

impl Digest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    /// Of what the hasher has seen.
    pub(crate) fn finish(hasher: Sha256) -> Self {
        let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{ALGORITHM}{hex}"))
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let hex = text
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| format!("the digest `{text}` does not start with `{ALGORITHM}`"))?;
        if hex.len() != HEX_DIGITS {
            return Err(format!(
                "the digest has {} characters after `{ALGORITHM}`, not {HEX_DIGITS}",
                hex.chars().count()
            ));
        }
        if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err("the digest has characters that are no lower-case hexadecimal digits".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// As registries write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 digits alone, for names of files.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[ALGORITHM.len()..]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
