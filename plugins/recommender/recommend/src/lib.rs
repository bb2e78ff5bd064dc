//! Remembers what users have liked, tells other transforms of it, and answers what they may like next:
//! `recommendations/USER?n=10&model=items`.
//!
//! The models are in `models.rs`; they read the stores of this transform and of two others.

mod models;

use recommender_model::{HISTORY, HISTORY_MAX, List, PAIRED_MAX, Pairs, check_name};
use serde::{Deserialize, Serialize};
use wasmill_sdk::prelude::*;
use wasmill_sdk::{Answer, Queries, Query, Reader};

use crate::models::{Model, Models};

/// The most that are recommended at once.
const N_MAX: usize = 100;

/// The config table.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// A rating of so much or more is a like; an event without a rating (a purchase) is one, too.
    min_rating: f64,
    /// The transform that runs `popularity`.
    popularity: String,
    /// The transform that runs `cooccurrence`.
    cooccurrence: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_rating: 3.0,
            popularity: "popularity".to_owned(),
            cooccurrence: "cooccurrence".to_owned(),
        }
    }
}

/// A rating or a purchase; other fields are ignored.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    item: std::borrow::Cow<'a, str>,
    rating: Option<f64>,
}

#[derive(Serialize)]
struct Recommended<'a> {
    item: &'a str,
    score: f64,
}

#[derive(Serialize)]
struct Recommendations<'a> {
    user: &'a str,
    model: &'a str,
    items: Vec<Recommended<'a>>,
}

struct Recommend {
    config: Config,
}

impl Plugin for Recommend {
    type Config = Config;

    fn about() -> About {
        About::new("recommend", env!("CARGO_PKG_VERSION"))
            .doc("Remembers what users have liked, and answers what they may like next")
            .port(
                Port::new(
                    "likes",
                    "Each item that a user likes for the first time, keyed by the item",
                )
                .rekeys(),
            )
            .port(
                Port::new(
                    "pairs",
                    r#"{"user","with"}: items liked by the same user, keyed by the item"#,
                )
                .rekeys(),
            )
            .store(HISTORY)
            .config_schema(include_str!("config.schema.json"))
    }

    fn new(config: Config) -> Result<Self, Problems> {
        if !config.min_rating.is_finite() {
            return Err(Problem::new("/min_rating", "must be a number").into());
        }
        Ok(Self { config })
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let user = record.key_str()?;
        check_name(user)?;
        let event: Event<'_> = record.json()?;
        let item = event.item.as_ref();
        check_name(item)?;
        let is_liked = event.rating.is_none_or(|rating| rating >= self.config.min_rating);
        let mut history = ctx.get(HISTORY)?.unwrap_or_default();
        // Rated again: counted once.
        if history.get(item).is_some() {
            return Ok(());
        }
        if is_liked {
            tell(user, item, &history, ctx)?;
        }
        history.append(item, u32::from(is_liked), HISTORY_MAX);
        ctx.put(HISTORY, &history)
    }
}

/// Tells those who count items of a new like: of the item, and of each that it is paired with.
fn tell(user: &str, item: &str, history: &List, ctx: &mut Context<'_>) -> Result<()> {
    ctx.send(Output::new("").port("likes").key(item))?;
    let liked = history.0.iter().rev().filter(|(_, liked)| *liked == 1);
    let with: Vec<String> = liked.take(PAIRED_MAX).map(|(name, _)| name.clone()).collect();
    for other in &with {
        let back = Pairs {
            user: None,
            with: vec![item.to_owned()],
        };
        ctx.send(Output::new(Json(back)).port("pairs").key(other))?;
    }
    let own = Pairs {
        user: Some(user.to_owned()),
        with,
    };
    ctx.send(Output::new(Json(own)).port("pairs").key(item))
}

impl Queries for Recommend {
    fn answer(&mut self, query: &Query, reader: &Reader<'_>) -> Result<Answer> {
        let ["recommendations", user] = query.path()[..] else {
            return Ok(Answer::not_found("ask for recommendations/USER?n=10&model=items"));
        };
        let n = query.parameter("n").map_or(Some(10), |text| text.parse::<usize>().ok());
        let Some(n) = n.filter(|n| (1..=N_MAX).contains(n)) else {
            return Ok(Answer::bad_request(format!("`n` is 1 to {N_MAX}")));
        };
        let model = match query.parameter("model") {
            None => Some(Model::Items),
            Some(name) => Model::of(name),
        };
        let Some(model) = model else {
            return Ok(Answer::bad_request("`model` is popularity, items or users"));
        };
        let models = Models {
            own: *reader,
            popularity: reader.of(&self.config.popularity),
            cooccurrence: reader.of(&self.config.cooccurrence),
        };
        let history = reader.get(HISTORY, user)?.unwrap_or_default();
        let (model, scores) = models.recommend(model, user, &history, n)?;
        Answer::json(&Recommendations {
            user,
            model: model.name(),
            items: scores
                .iter()
                .map(|(item, score)| Recommended { item, score: *score })
                .collect(),
        })
    }
}

wasmill_sdk::export!(Recommend, queries);

#[cfg(test)]
mod tests;
