//! A MongoDB database of a test's own.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Collection};
use record::sink::Sink;
use serde_json::{Value, json};

use super::{System, connector, over, service, unique};

pub(crate) struct Mongo {
    pub(crate) url: String,
    pub(crate) database: String,
    client: Client,
}

impl Mongo {
    pub(crate) fn collection(&self) -> Collection<Document> {
        self.client.database(&self.database).collection("wordCount")
    }

    pub(crate) fn settings(&self, more: &Value) -> Value {
        let base = json!({"url": self.url, "database": self.database, "collection": "wordCount"});
        over(base, more)
    }

    pub(crate) fn sink_of(&self, more: &Value, incarnation: &str) -> Box<dyn Sink> {
        wasmill_sinks::open(&connector("mongodb", &self.settings(more)), "wc", incarnation).expect("a sink")
    }

    pub(crate) async fn find(&self, id: impl Into<Bson>) -> Option<Document> {
        self.collection()
            .find_one(doc! { "_id": id.into() })
            .await
            .expect("found")
    }

    pub(crate) async fn all(&self) -> Vec<Document> {
        let found = self.collection().find(doc! {}).await.expect("found");
        found.try_collect().await.expect("read")
    }
}

impl System for Mongo {
    const KEEPS_POSITIONS: bool = false;

    async fn fresh() -> Self {
        let url = service("WASMILL_TEST_MONGODB");
        let client = Client::with_uri_str(&url)
            .await
            .expect("a client for WASMILL_TEST_MONGODB");
        Self {
            url,
            database: unique("wasmill_sinks"),
            client,
        }
    }

    fn sink(&self, more: &Value) -> Box<dyn Sink> {
        self.sink_of(more, "0")
    }

    async fn counts(&self) -> BTreeMap<String, Option<i64>> {
        let rows = self.all().await.into_iter().map(|document| {
            let id = document.get_str("_id").expect("a text").to_owned();
            let count = match document.get("count") {
                Some(Bson::Int32(count)) => Some((*count).into()),
                Some(Bson::Int64(count)) => Some(*count),
                None | Some(Bson::Null) => None,
                Some(other) => panic!("a count that is {other}"),
            };
            (id, count)
        });
        rows.collect()
    }

    async fn text(&self, word: &str) -> Option<Option<String>> {
        let document = self.find(word).await?;
        Some(document.get_str("text").ok().map(str::to_owned))
    }
}
