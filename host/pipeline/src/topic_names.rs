//! The names of the topics that Wasmill makes up.

/// What the names start with.
pub(crate) struct TopicNames<'a> {
    pub prefix: &'a str,
    pub pipeline: &'a str,
}

impl TopicNames<'_> {
    /// What a source fills, or a sink reads.
    pub(crate) fn node(&self, node: &str) -> String {
        format!("{}{}-{node}", self.prefix, self.pipeline)
    }

    /// What a transform reads whose input has to be gathered by key.
    pub(crate) fn repartition(&self, transform: &str) -> String {
        format!("{}{}-{transform}-repartition", self.prefix, self.pipeline)
    }

    /// The state of a transform.
    pub(crate) fn changelog(&self, transform: &str) -> String {
        format!("{}{}-{transform}-changelog", self.prefix, self.pipeline)
    }

    /// Where records go that failed.
    pub(crate) fn dead_letters(&self, named: Option<&str>) -> String {
        match named {
            Some(name) => name.to_owned(),
            None => format!("{}{}-dead-letters", self.prefix, self.pipeline),
        }
    }

    /// What all processes of the pipeline must know: resets, compacted.
    pub(crate) fn control(&self) -> String {
        format!("{}{}-control", self.prefix, self.pipeline)
    }
}
