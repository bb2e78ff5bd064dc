//! The three models: what is popular, what goes with what the user likes, what users like them like.

use std::collections::{BTreeMap, HashMap, HashSet};

use recommender_model::{AUDIENCE, HISTORY, LIKES, List, NEIGHBOURS, TOP, TOP_KEY};
use wasmill_sdk::{Reader, Result};

/// Newest likes of the user that are looked at.
const LIKES_MAX: usize = 50;
/// Items that are scored exactly.
const CANDIDATES_MAX: usize = 200;
/// Users like the one who asks.
const ALIKE_MAX: usize = 50;

/// How recommendations are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    Popularity,
    Items,
    Users,
}

impl Model {
    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::Popularity, Self::Items, Self::Users]
            .into_iter()
            .find(|model| model.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Popularity => "popularity",
            Self::Items => "items",
            Self::Users => "users",
        }
    }
}

/// Items with scores.
type Scores = Vec<(String, f64)>;

/// What the models read.
pub(crate) struct Models<'a> {
    pub(crate) own: Reader<'a>,
    pub(crate) popularity: Reader<'a>,
    pub(crate) cooccurrence: Reader<'a>,
}

impl Models<'_> {
    /// The best items for a user, with the model that found them: when nothing is known of the user, or
    /// nothing is found, what is popular.
    pub(crate) fn recommend(&self, model: Model, user: &str, history: &List, n: usize) -> Result<(Model, Scores)> {
        let liked: Vec<&str> = history
            .0
            .iter()
            .rev()
            .filter(|(_, liked)| *liked == 1)
            .take(LIKES_MAX)
            .map(|(item, _)| item.as_str())
            .collect();
        let scores = match model {
            _ if liked.is_empty() => Vec::new(),
            Model::Popularity => Vec::new(),
            Model::Items => self.by_items(&liked)?,
            Model::Users => self.by_users(user, &liked)?,
        };
        let found = best(scores, history, n);
        if !found.is_empty() {
            return Ok((model, found));
        }
        Ok((Model::Popularity, best(self.popular()?, history, n)))
    }

    /// Each partition has a list of its own; the most popular of all are in one of them.
    fn popular(&self) -> Result<Scores> {
        let lists = self.popularity.scan(TOP, TOP_KEY, None, 1)?;
        let entries = lists.entries.into_iter().flat_map(|(_, list)| list.0);
        Ok(entries.map(|(item, likes)| (item, f64::from(likes))).collect())
    }

    /// How many users have liked each of these; 1 at least.
    fn likes(&self, items: &[&str]) -> Result<Vec<f64>> {
        let found = self.popularity.get_many(LIKES, items)?;
        #[allow(clippy::cast_precision_loss, reason = "a count of users")]
        Ok(found
            .into_iter()
            .map(|likes| likes.unwrap_or(1).max(1) as f64)
            .collect())
    }

    /// The cosine between an item and each that the user likes: how many have liked both, over the square
    /// root of how many have liked the one times how many the other. Summed over what the user likes.
    fn by_items(&self, liked: &[&str]) -> Result<Scores> {
        let own_likes = self.likes(liked)?;
        let neighbours = self.cooccurrence.get_many(NEIGHBOURS, liked)?;
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for (list, likes) in neighbours.into_iter().zip(&own_likes) {
            for (item, both) in list.unwrap_or_default().0 {
                *sums.entry(item).or_default() += f64::from(both) / likes.sqrt();
            }
        }
        let candidates = largest(sums.into_iter().collect(), CANDIDATES_MAX);
        let names: Vec<&str> = candidates.iter().map(|(item, _)| item.as_str()).collect();
        let likes = self.likes(&names)?;
        let scored = candidates.iter().zip(likes);
        Ok(scored
            .map(|((item, sum), likes)| (item.clone(), sum / likes.sqrt()))
            .collect())
    }

    /// Users who have liked the same, rare items counting more, vote for what else they like.
    fn by_users(&self, user: &str, liked: &[&str]) -> Result<Scores> {
        let likes = self.likes(liked)?;
        let audiences = self.cooccurrence.get_many(AUDIENCE, liked)?;
        let mut alike: BTreeMap<String, f64> = BTreeMap::new();
        for (audience, likes) in audiences.into_iter().zip(likes) {
            for (other, _) in audience.unwrap_or_default().0 {
                if other != user {
                    *alike.entry(other).or_default() += 1.0 / (1.0 + likes).ln();
                }
            }
        }
        let alike = largest(alike.into_iter().collect(), ALIKE_MAX);
        let histories = self.own.get_many(HISTORY, alike.iter().map(|(other, _)| other))?;
        let mut votes: HashMap<String, f64> = HashMap::new();
        for (history, (_, weight)) in histories.into_iter().zip(&alike) {
            let history = history.unwrap_or_default().0;
            // Who likes everything says little.
            let weight = weight / f64::from(u32::try_from(history.len()).unwrap_or(1).max(1)).sqrt();
            for (item, _) in history.into_iter().filter(|(_, liked)| *liked == 1) {
                *votes.entry(item).or_default() += weight;
            }
        }
        Ok(votes.into_iter().collect())
    }
}

/// The largest by score, then name.
fn largest(mut scores: Scores, n: usize) -> Scores {
    scores.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.cmp(b)));
    scores.truncate(n);
    scores
}

/// The best that are not known to the user.
fn best(mut scores: Scores, history: &List, n: usize) -> Scores {
    let known: HashSet<&str> = history.0.iter().map(|(item, _)| item.as_str()).collect();
    scores.retain(|(item, _)| !known.contains(item.as_str()));
    largest(scores, n)
}
