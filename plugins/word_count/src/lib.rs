//! Counts words: the key is the word; each record raises its count by one and emits the new one.

use serde::Serialize;
use wasmill_sdk::prelude::*;

const COUNT: Store<u64> = Store::keyed(0, "count", "How often each word was seen");

#[derive(Serialize)]
struct Total<'a> {
    word: &'a str,
    count: u64,
}

struct WordCount;

impl Plugin for WordCount {
    type Config = NoConfig;

    fn about() -> About {
        About::new("word_count", env!("CARGO_PKG_VERSION"))
            .doc("Counts words by their key")
            .port(Port::new(
                "out",
                r#"{"word","count"} for each record, keyed by the word"#,
            ))
            .store(COUNT)
    }

    fn new(_: NoConfig) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let word = record.key_str()?;
        let count = ctx.get(COUNT)?.unwrap_or(0) + 1;
        ctx.put(COUNT, &count)?;
        ctx.emit(Json(Total { word, count }))
    }
}

wasmill_sdk::export!(WordCount);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Harness, Input};

    #[test]
    fn counts_by_key() {
        let mut plugin = Harness::<WordCount>::new("{}").unwrap();
        let run = plugin.run(&[
            Input::new("").key("a"),
            Input::new("").key("b"),
            Input::new("").key("a"),
        ]);
        assert_eq!(
            run.values(),
            [
                r#"{"word":"a","count":1}"#,
                r#"{"word":"b","count":1}"#,
                r#"{"word":"a","count":2}"#
            ]
        );
        let run = plugin.run(&[Input::new("a"), Input::new("").key("a"), Input::new("").key([0xff])]);
        assert_eq!(run.values(), [r#"{"word":"a","count":3}"#]);
        assert_eq!(run.codes(), ["no-key", "bad-utf8"]);
    }
    #[test]
    fn passes_the_vectors() {
        vectors::check::<WordCount>(include_str!("../../vectors/word_count.json"));
    }
}
