//! Asking the API of a process that runs.

use std::time::Duration;

use clap::Args;
use record::Secret;
use record::error::Code;
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;

use crate::api::problem::Problem;
use crate::failure::Failure;

/// A little longer than the API itself takes for what takes longest.
const TIME: Duration = Duration::from_secs(190);

/// Which process.
#[derive(Args, Clone, Debug)]
pub(crate) struct RemoteArgs {
    /// The API of the process, as `wasmill run` says it
    #[arg(
        long,
        value_name = "URL",
        env = "WASMILL_API",
        default_value = "http://127.0.0.1:7077"
    )]
    api: Url,
    /// A token of the API, if it has any; better given in the environment
    #[arg(long, value_name = "TOKEN", env = "WASMILL_TOKEN", hide_env_values = true, value_parser = secret)]
    token: Option<Secret>,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

impl RemoteArgs {
    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// Nobody answers, or what it says is wrong.
    pub(crate) fn ask<T: DeserializeOwned>(&self, method: Method, path: &[&str]) -> Result<T, Failure> {
        self.ask_with(method, path, &[])
    }

    /// As [`Self::ask`], with parameters.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(crate) fn ask_with<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        parameters: &[(&str, &str)],
    ) -> Result<T, Failure> {
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
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| self.failed("no runtime", &error.to_string()))?;
        runtime.block_on(self.send(method, url))
    }

    async fn send<T: DeserializeOwned>(&self, method: Method, url: Url) -> Result<T, Failure> {
        let silent = |error: &reqwest::Error| {
            let mut why: &dyn std::error::Error = error;
            while let Some(source) = why.source() {
                why = source;
            }
            self.failed(
                &format!("the API at {} does not answer: {why}", self.api),
                "name it with `--api`; `wasmill run` says in its log where it is",
            )
        };
        // The client takes the provider of cryptography of the process; there is one already when that fails.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // What is on the way to this machine itself goes to no proxy.
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIME)
            .build()
            .map_err(|error| silent(&error))?;
        let mut request = client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        let response = request.send().await.map_err(|error| silent(&error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| silent(&error))?;
        if !status.is_success() {
            return Err(match serde_json::from_slice::<Problem>(&body) {
                Ok(problem) => self.failed(&problem.title, &problem.detail),
                Err(_) => self.failed(
                    &format!("the API at {} answers {status}", self.api),
                    "is it that of Wasmill?",
                ),
            });
        }
        serde_json::from_slice(&body).map_err(|error| {
            self.failed(
                &format!("the API at {} answers what cannot be read: {error}", self.api),
                "is it of the same version of Wasmill?",
            )
        })
    }

    fn failed(&self, what: &str, next: &str) -> Failure {
        Failure::Other {
            code: Code("E0731"),
            invalid: false,
            what: what.to_owned(),
            place: None,
            next: next.to_owned(),
        }
    }
}
