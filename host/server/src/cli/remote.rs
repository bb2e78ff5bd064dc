//! Asking the API of a process that runs.

use std::time::Duration;

use clap::Args;
use record::error::Code;
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::TokenArgs;
use crate::api::problem::Problem;
use crate::api::views::Pipelines;
use crate::failure::Failure;

/// A little longer than the API itself takes for what takes longest.
const TIME: Duration = Duration::from_secs(190);
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Which process.
#[derive(Args, Clone, Debug)]
pub(crate) struct RemoteArgs {
    /// The API of the process, as `wasmill run` says it
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "WASMILL_API",
        default_value = "http://127.0.0.1:7077"
    )]
    api: Url,
    #[command(flatten)]
    token: TokenArgs,
    /// Nobody named the address: it was found at an embedded log.
    #[arg(skip)]
    is_found: bool,
}

/// What the API says.
#[derive(Debug)]
pub(super) enum Answer<T> {
    Good(T),
    Refused(Problem),
}

/// A client of one process, with a connection that stays open.
pub(super) struct Client {
    remote: RemoteArgs,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl Client {
    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// Nobody answers, or what it says cannot be read.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        params: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer<T>, Failure> {
        let url = self.remote.url(path, params)?;
        self.runtime.block_on(async {
            match self.remote.send(&self.client, method, url, body, Some(TIME)).await? {
                Answer::Good(response) => self.remote.read(response).await.map(Answer::Good),
                Answer::Refused(problem) => Ok(Answer::Refused(problem)),
            }
        })
    }
}

impl RemoteArgs {
    /// The process whose address was found at its embedded log.
    pub(super) fn found(api: Url, token: TokenArgs) -> Self {
        Self {
            api,
            token,
            is_found: true,
        }
    }

    /// For many questions.
    ///
    /// # Errors
    /// There is no runtime for it, or no connections can be made.
    pub(super) fn client(self) -> Result<Client, Failure> {
        Ok(Client {
            runtime: self.runtime()?,
            client: self.connections()?,
            remote: self,
        })
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// Nobody answers, or what it says is wrong.
    pub(crate) fn ask<T: DeserializeOwned>(&self, method: Method, path: &[&str]) -> Result<T, Failure> {
        self.ask_with(method, path, &[], None)
    }

    /// As [`Self::ask`], with parameters and a body of JSON.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(crate) fn ask_with<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        params: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        let url = self.url(path, params)?;
        self.runtime()?.block_on(async {
            let client = self.connections()?;
            let response = self.good(self.send(&client, method, url, body, Some(TIME)).await?)?;
            self.read(response).await
        })
    }

    async fn read<T: DeserializeOwned>(&self, response: reqwest::Response) -> Result<T, Failure> {
        let body = response.bytes().await.map_err(|error| self.silent(&error))?;
        serde_json::from_slice(&body).map_err(|error| {
            self.failed(
                &format!("the API at {} answers what cannot be read: {error}", self.api),
                "is it of the same version of Wasmill?",
            )
        })
    }

    /// What was asked for, or why it was refused.
    fn good<T>(&self, answer: Answer<T>) -> Result<T, Failure> {
        match answer {
            Answer::Good(answer) => Ok(answer),
            Answer::Refused(problem) => Err(self.failed(&problem.title, &problem.detail)),
        }
    }

    /// Reads server-sent events (kind and data) until there are no more, or `each` says `false`.
    ///
    /// # Errors
    /// As [`Self::ask`], or those of `each`.
    pub(crate) fn events(
        &self,
        path: &[&str],
        params: &[(&str, &str)],
        mut each: impl FnMut(&str, &str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let url = self.url(path, params)?;
        self.runtime()?.block_on(async {
            let client = self.connections()?;
            let mut response = self.good(self.send(&client, Method::GET, url, None, None).await?)?;
            let (mut text, mut kind) = (Vec::new(), String::new());
            while let Some(bytes) = response.chunk().await.map_err(|error| self.silent(&error))? {
                text.extend_from_slice(&bytes);
                while let Some(end) = memchr::memchr(b'\n', &text) {
                    let line = String::from_utf8_lossy(&text[..end]).into_owned();
                    text.drain(..=end);
                    if let Some(name) = line.strip_prefix("event: ") {
                        name.clone_into(&mut kind);
                    } else if let Some(data) = line.strip_prefix("data: ")
                        && !each(&kind, data)?
                    {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    /// The pipeline that is named, or the only one of the process.
    ///
    /// # Errors
    /// As [`Self::ask`]; there are several.
    pub(crate) fn pipeline(&self, name: Option<&str>) -> Result<String, Failure> {
        if let Some(name) = name {
            return Ok(name.to_owned());
        }
        let all: Pipelines = self.ask(Method::GET, &["v1", "pipelines"])?;
        let names: Vec<&str> = all.pipelines.iter().map(|one| &*one.name).collect();
        match names.as_slice() {
            [only] => Ok((*only).to_owned()),
            [] => Err(self.failed("the process runs no pipeline", "`wasmill run` starts some")),
            several => Err(Failure::usage(
                "there are several pipelines",
                format!("name one of {}", several.join(", ")),
            )),
        }
    }

    fn url(&self, path: &[&str], params: &[(&str, &str)]) -> Result<Url, Failure> {
        let mut url = self.api.clone();
        url.path_segments_mut()
            .map_err(|()| {
                Failure::usage(
                    format!("`{}` is no address of an API", self.api),
                    "write http://127.0.0.1:7077",
                )
            })?
            .pop_if_empty()
            .extend(path);
        if !params.is_empty() {
            url.query_pairs_mut().extend_pairs(params);
        }
        Ok(url)
    }

    fn runtime(&self) -> Result<tokio::runtime::Runtime, Failure> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| self.failed("no runtime", &error.to_string()))
    }

    fn silent(&self, error: &reqwest::Error) -> Failure {
        let mut why: &dyn std::error::Error = error;
        while let Some(source) = why.source() {
            why = source;
        }
        let next = if self.is_found {
            "run it again: it opens the log itself, or finds who has it"
        } else {
            "name it with `--api`; `wasmill run` says in its log where it is"
        };
        self.failed(&format!("the API at {} does not answer: {why}", self.api), next)
    }

    fn connections(&self) -> Result<reqwest::Client, Failure> {
        // The client takes the provider of cryptography of the process; there is one already when that fails.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // What is on the way to this machine itself goes to no proxy.
        reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIME)
            .build()
            .map_err(|error| self.silent(&error))
    }

    /// Sends a request, and answers when the head of a good answer is there, or all of a bad one.
    async fn send(
        &self,
        client: &reqwest::Client,
        method: Method,
        url: Url,
        body: Option<&Value>,
        time: Option<Duration>,
    ) -> Result<Answer<reqwest::Response>, Failure> {
        let mut request = client.request(method, url);
        if let Some(time) = time {
            request = request.timeout(time);
        }
        if let Some(body) = body {
            request = request
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        if let Some(token) = &self.token.token {
            request = request.bearer_auth(token.reveal());
        }
        let response = request.send().await.map_err(|error| self.silent(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(Answer::Good(response));
        }
        let body = response.bytes().await.map_err(|error| self.silent(&error))?;
        serde_json::from_slice(&body).map(Answer::Refused).map_err(|_| {
            self.failed(
                &format!("the API at {} answers {status}", self.api),
                "is it that of Wasmill?",
            )
        })
    }

    pub(crate) fn failed(&self, what: &str, next: &str) -> Failure {
        Failure::Other {
            code: Code("E0731"),
            invalid: false,
            what: what.to_owned(),
            place: None,
            next: next.to_owned(),
        }
    }
}
