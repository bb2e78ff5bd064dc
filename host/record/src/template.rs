//! Text with places for parts of an HTTP request: `{path.room}`, `{query.temp}`, `{header.Host}`, `{now}`,
//! each perhaps with `:number`. `{{` and `}}` stand for braces.

/// A text with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// In order.
    pub parts: Vec<Part>,
}

/// A piece of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// What the request has.
    Place(Place),
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What is put there.
    pub from: From,
    /// It must be a number, and is one in JSON.
    pub is_number: bool,
}

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// A parameter of the route's path.
    Path(String),
    /// A parameter of the query; the first of its name.
    Query(String),
    /// A header; the last of its name.
    Header(String),
    /// When the request came, in milliseconds since 1970.
    Now,
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let found = &rest[at..];
            if found.starts_with("{{") || found.starts_with("}}") {
                plain.push_str(&found[..1]);
                rest = &found[2..];
                continue;
            }
            if found.starts_with('}') {
                return Err("`}` closes nothing; `}}` stands for a brace".to_owned());
            }
            let Some(end) = found.find('}') else {
                return Err("`{` is not closed; `{{` stands for a brace".to_owned());
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Place(Place::parse(&found[1..end])?));
            rest = &found[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// The one place that this is, and nothing else.
    #[must_use]
    pub fn as_place(&self) -> Option<&Place> {
        match self.parts.as_slice() {
            [Part::Place(place)] => Some(place),
            _ => None,
        }
    }

    /// All places.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place(place) => Some(place),
            Part::Text(_) => None,
        })
    }
}

impl Place {
    fn parse(inside: &str) -> Result<Self, String> {
        let (name, is_number) = match inside.split_once(':') {
            None => (inside, false),
            Some((name, "number")) => (name, true),
            Some((_, kind)) => return Err(format!("`{{{inside}}}`: there is no `:{kind}`, only `:number`")),
        };
        let from = match name.split_once('.') {
            None if name == "now" => From::Now,
            Some(("path", name)) if !name.is_empty() => From::Path(name.to_owned()),
            Some(("query", name)) if !name.is_empty() => From::Query(name.to_owned()),
            Some(("header", name)) if !name.is_empty() => From::Header(name.to_owned()),
            _ => {
                return Err(format!(
                    "`{{{inside}}}` is none of `{{path.NAME}}`, `{{query.NAME}}`, `{{header.NAME}}` and `{{now}}`"
                ));
            }
        };
        Ok(Self { from, is_number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_braces_are_found() {
        let template = Template::parse("a{{{path.room}}}{query.t:number}").unwrap();
        let place = |from, is_number| Part::Place(Place { from, is_number });
        assert_eq!(
            template.parts,
            [
                Part::Text("a{".to_owned()),
                place(From::Path("room".to_owned()), false),
                Part::Text("}".to_owned()),
                place(From::Query("t".to_owned()), true),
            ]
        );
        assert_eq!(Template::parse("").unwrap().parts, []);
        assert_eq!(
            Template::parse("{header.User-Agent}").unwrap().as_place().unwrap().from,
            From::Header("User-Agent".to_owned())
        );
        assert_eq!(Template::parse("{now:number}").unwrap().places().count(), 1);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            ("{", "not closed"),
            ("a}", "closes nothing"),
            ("{room}", "is none of"),
            ("{path.}", "is none of"),
            ("{path.a:int}", "only `:number`"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
