//! Keeps passwords out of what is said.

use record::Secret;

/// The texts of one sink that are never shown: its URL and the password in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redactor {
    hidden: Vec<Secret>,
}

impl Redactor {
    /// Hides `url` as a whole and its password, as written and decoded.
    pub(crate) fn of_url(url: &str) -> Self {
        let mut hidden = vec![Secret::new(url)];
        if let Some(password) = password(url) {
            let decoded = percent_decoded(password);
            if decoded != password {
                hidden.push(Secret::new(decoded));
            }
            hidden.push(Secret::new(password));
        }
        Self { hidden }
    }

    /// `message` without what is hidden.
    pub(crate) fn clean(&self, message: &str) -> String {
        self.hidden
            .iter()
            .filter(|secret| !secret.reveal().is_empty())
            .fold(message.to_owned(), |text, secret| text.replace(secret.reveal(), "***"))
    }
}

/// Between the first `:` of the authority's user part and its last `@`.
fn password(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    // A password with an unescaped slash is wrong, and hidden all the same.
    let authority = if authority.contains('@') { authority } else { rest };
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_in_every_form() {
        let redactor = Redactor::of_url("mysql://bob:p%40ss/w0rd@db:3306/shop");
        for text in ["p%40ss/w0rd", "p@ss/w0rd", "mysql://bob:p%40ss/w0rd@db:3306/shop"] {
            assert_eq!(redactor.clean(&format!("no {text}!")), "no ***!");
        }
        assert_eq!(Redactor::of_url("mysql://db/shop").clean("db/shop"), "db/shop");
        assert_eq!(Redactor::of_url("mysql://bob:@db/shop").clean("abc"), "abc");
    }
}
