//! What a plugin says of itself.

use crate::bindings::exports::wasmill::plugin::lifecycle;
use crate::store::{Format, Store};

/// A port: where outputs leave.
#[derive(Clone, Debug)]
pub struct Port {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) rekeys: bool,
}

impl Port {
    /// A port by its name (kebab-case) and one sentence for people. Outputs keep their record's key.
    pub fn new(name: impl Into<String>, doc: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            doc: doc.into(),
            rekeys: false,
        }
    }

    /// Outputs may have other keys than their records; keyed state downstream costs a repartition.
    #[must_use]
    pub fn rekeys(mut self) -> Self {
        self.rekeys = true;
        self
    }
}

/// What a plugin says of itself: name, version, ports, stores and what it wants to be given.
#[derive(Clone, Debug)]
pub struct About {
    pub(crate) description: lifecycle::Description,
    pub(crate) ports: Vec<Port>,
}

impl About {
    /// A plugin by its name (snake_case) and version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            description: lifecycle::Description {
                name: name.into(),
                version: version.into(),
                doc: String::new(),
                state_version: 0,
                inputs: Vec::new(),
                ports: Vec::new(),
                stores: Vec::new(),
                sets_timers: false,
                reads_headers: false,
                reads_origins: false,
                config_schema: String::new(),
                extra: Vec::new(),
            },
            ports: Vec::new(),
        }
    }

    /// One sentence for people.
    #[must_use]
    pub fn doc(mut self, doc: impl Into<String>) -> Self {
        self.description.doc = doc.into();
        self
    }

    /// Adds a port. The first is the default; a plugin that names none has the port `out`.
    #[must_use]
    pub fn port(mut self, port: Port) -> Self {
        self.ports.push(port);
        self
    }

    /// Adds a named input; [`crate::Record::input`] tells them apart by this order.
    #[must_use]
    pub fn input(mut self, name: impl Into<String>) -> Self {
        self.description.inputs.push(name.into());
        self
    }

    /// Adds a store.
    ///
    /// # Panics
    /// When the store's number is not its place here: `wasmill build` shows it.
    #[must_use]
    #[allow(clippy::panic)]
    pub fn store<T, F: Format<T>>(mut self, store: Store<T, F>) -> Self {
        let place = self.description.stores.len();
        assert!(
            store.id as usize == place,
            "the store `{}` has the number {}, but it is listed at place {place}",
            store.name,
            store.id,
        );
        self.description.stores.push(lifecycle::Store {
            name: store.name.to_owned(),
            doc: store.doc.to_owned(),
            table: false,
            keyed: store.keyed,
            key_format: "bytes".to_owned(),
            value_format: F::name().to_owned(),
        });
        self
    }

    /// Raised when what is stored changes its meaning.
    #[must_use]
    pub fn state_version(mut self, version: u32) -> Self {
        self.description.state_version = version;
        self
    }

    /// It sets timers, so it has [`crate::Plugin::on_timer`], and its input must be partitioned by key.
    #[must_use]
    pub fn sets_timers(mut self) -> Self {
        self.description.sets_timers = true;
        self
    }

    /// Records come with their headers.
    #[must_use]
    pub fn reads_headers(mut self) -> Self {
        self.description.reads_headers = true;
        self
    }

    /// Records come with their origins.
    #[must_use]
    pub fn reads_origins(mut self) -> Self {
        self.description.reads_origins = true;
        self
    }

    /// The JSON Schema of the config table, for `wasmill validate` and editors.
    #[must_use]
    pub fn config_schema(mut self, schema: impl Into<String>) -> Self {
        self.description.config_schema = schema.into();
        self
    }

    /// With the default port filled in.
    pub(crate) fn finished(mut self) -> Self {
        if self.ports.is_empty() {
            self.ports.push(Port::new("out", "All outputs"));
        }
        self.description.ports = self
            .ports
            .iter()
            .map(|port| lifecycle::Port {
                name: port.name.clone(),
                doc: port.doc.clone(),
                rekeys: port.rekeys,
            })
            .collect();
        self
    }
}
