//! What the plugins of the recommender store and hand on.
//!
//! Lists are stored as entries end to end: the length of a name in one byte, the name, a number in four
//! (little-endian). Each list has a cap, so that no key's value grows without end.

use serde::{Deserialize, Serialize};
use wasmill_sdk::{Error, Format, Result, Store};

/// Items of a user that are remembered; the oldest goes.
pub const HISTORY_MAX: usize = 200;
/// Neighbours of an item that are counted.
pub const NEIGHBOURS_MAX: usize = 150;
/// The newest users of an item that are remembered.
pub const AUDIENCE_MAX: usize = 100;
/// Items in the list of the most popular of a partition.
pub const TOP_MAX: usize = 200;
/// Earlier items of a user with which a new one is paired.
pub const PAIRED_MAX: usize = 12;
/// The key under which [`TOP`] is stored in each partition.
pub const TOP_KEY: &[u8] = b"top";

/// `recommend`: the items of a user, oldest first; 1 for those that were liked.
pub const HISTORY: Store<List, Packed> = Store::keyed(0, "history", "The items of a user, oldest first");
/// `popularity`: how many users have liked an item.
pub const LIKES: Store<u64> = Store::keyed(0, "likes", "How many users have liked an item");
/// `popularity`: the most popular items of a partition with their numbers.
pub const TOP: Store<List, Packed> = Store::shared(1, "top", "The items that are liked most, of a partition");
/// `cooccurrence`: the items liked by the same users, with how often.
pub const NEIGHBOURS: Store<List, Packed> =
    Store::keyed(0, "neighbours", "Items liked by the same users, and how often");
/// `cooccurrence`: the newest users that have liked an item, oldest first.
pub const AUDIENCE: Store<List, Packed> = Store::keyed(1, "audience", "The newest users that have liked an item");

/// What `recommend` tells of an item: that a user has liked it after others, or the other way round.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairs {
    /// Who; left out when it was told with another item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Items that the same user has liked.
    pub with: Vec<String>,
}

/// Names with numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(pub Vec<(String, u32)>);

impl List {
    /// The number of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u32> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, number)| *number)
    }

    /// Counts a name. When the list is full, a new name takes the place of the one with the smallest count,
    /// and its count: the Space-Saving sketch (Metwally and others, 2005), which never loses a frequent one.
    pub fn count(&mut self, name: &str, max: usize) {
        if let Some((_, count)) = self.0.iter_mut().find(|(of, _)| of == name) {
            *count = count.saturating_add(1);
        } else if self.0.len() < max {
            self.0.push((name.to_owned(), 1));
        } else if let Some(smallest) = self.0.iter_mut().min_by_key(|(_, count)| *count) {
            *smallest = (name.to_owned(), smallest.1.saturating_add(1));
        }
    }

    /// Sets a number that only grows, if it is among the largest.
    pub fn rank(&mut self, name: &str, number: u32, max: usize) {
        if let Some((_, there)) = self.0.iter_mut().find(|(of, _)| of == name) {
            *there = number;
        } else if self.0.len() < max {
            self.0.push((name.to_owned(), number));
        } else if let Some(smallest) = self.0.iter_mut().min_by_key(|(_, number)| *number)
            && smallest.1 < number
        {
            *smallest = (name.to_owned(), number);
        }
    }

    /// Appends a name, which must be new; the oldest goes when there are too many.
    pub fn append(&mut self, name: &str, number: u32, max: usize) {
        if self.0.len() >= max {
            self.0.remove(0);
        }
        self.0.push((name.to_owned(), number));
    }
}

/// How a [`List`] is stored.
#[derive(Clone, Copy, Debug)]
pub struct Packed;

impl Format<List> for Packed {
    fn name() -> &'static str {
        "bytes"
    }

    fn write(list: &List, out: &mut Vec<u8>) -> Result<()> {
        for (name, number) in &list.0 {
            out.push(check_name(name)?);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&number.to_le_bytes());
        }
        Ok(())
    }

    fn read(mut bytes: &[u8]) -> Result<List> {
        let mut list = Vec::new();
        while let Some((length, rest)) = bytes.split_first() {
            let entry = rest
                .split_at_checked(usize::from(*length))
                .and_then(|(name, rest)| Some((name, rest.split_first_chunk::<4>()?)));
            let Some((name, (number, rest))) = entry else {
                return Err(Error::new("bad-state", "a list is cut short"));
            };
            list.push((std::str::from_utf8(name)?.to_owned(), u32::from_le_bytes(*number)));
            bytes = rest;
        }
        Ok(List(list))
    }
}

/// The length of a name.
///
/// # Errors
/// `bad-name`: it is empty, or has more than 255 bytes.
pub fn check_name(name: &str) -> Result<u8> {
    match u8::try_from(name.len()) {
        Ok(length) if length > 0 => Ok(length),
        _ => Err(Error::new(
            "bad-name",
            format!("a user or an item has 1 to 255 bytes, not {}", name.len()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(&str, u32)]) -> List {
        List(
            entries
                .iter()
                .map(|(name, number)| ((*name).to_owned(), *number))
                .collect(),
        )
    }

    #[test]
    fn lists_are_read_back() {
        let all = list(&[("a", 1), ("été", u32::MAX), (&"x".repeat(255), 0)]);
        let mut bytes = Vec::new();
        Packed::write(&all, &mut bytes).unwrap();
        assert_eq!(Packed::read(&bytes).unwrap(), all);
        assert_eq!(Packed::read(b"").unwrap(), List::default());
        for end in 1..bytes.len() {
            // Cut between entries it is a shorter list.
            if let Ok(shorter) = Packed::read(&bytes[..end]) {
                assert!(all.0.starts_with(&shorter.0));
            }
        }
        for name in ["", &"x".repeat(256)] {
            assert!(Packed::write(&list(&[(name, 1)]), &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn lists_have_caps() {
        let mut counted = List::default();
        for name in ["a", "b", "a", "c", "a"] {
            counted.count(name, 2);
        }
        assert_eq!(counted, list(&[("a", 3), ("c", 2)]));
        let mut ranked = List::default();
        for (name, number) in [("a", 5), ("b", 1), ("c", 1), ("d", 2), ("a", 6)] {
            ranked.rank(name, number, 2);
        }
        assert_eq!(ranked, list(&[("a", 6), ("d", 2)]));
        let mut newest = List::default();
        for name in ["a", "b", "c"] {
            newest.append(name, 1, 2);
        }
        assert_eq!(newest, list(&[("b", 1), ("c", 1)]));
    }
}
