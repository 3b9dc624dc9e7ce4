//! The only way to the collector: an HTTP client of ours, whose guard lets nothing else through.

use std::{fmt, net::IpAddr, pin::Pin};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use opentelemetry_http::{HttpClient, HttpError};
use pinfold::{
    Grant, Guard,
    resolve::{Fixed, Resolve},
};
use pinfold_addr::{Host, Target};
use pinfold_http::{Client, Limits};
use serde_json::{Value, json};

use super::export::PATIENCE;
use crate::config;

/// Sends batches to one URL.
pub(super) struct Collector {
    client: Client,
    target: Target,
    headers: HeaderMap,
}

impl Collector {
    pub(super) fn new(config: &config::Tracing, resolver: impl Resolve) -> Result<Self, String> {
        let target = Target::parse(&config.endpoint).map_err(|refusal| refusal.to_string())?;
        if !matches!(target.scheme().as_str(), "http" | "https") {
            return Err("the endpoint is `http` or `https`".into());
        }
        let guard = guard(&target, resolver)?;
        let mut limits = Limits::default();
        limits.total = PATIENCE;
        limits.redirects = 0;
        limits.response_bytes = ANSWER;
        let client = Client::builder(guard).limits(limits);
        Ok(Self {
            client: client.decode(false).build(),
            target,
            headers: headers(config)?,
        })
    }

    async fn send(
        client: Client,
        target: Target,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let mut request = client
            .request_target(Method::POST, target)
            .header(header::CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await?;
        let mut answer = http::Response::builder().status(response.status());
        if let Some(wait) = response.headers().get(header::RETRY_AFTER) {
            answer = answer.header(header::RETRY_AFTER, wait);
        }
        Ok(answer.body(response.bytes().await?)?)
    }
}

/// The collector's address, its port, and nothing else. A name may lead to a public or a private network, but not to
/// this machine, unless it is `localhost`.
fn guard(target: &Target, resolver: impl Resolve) -> Result<Guard, String> {
    let builder = Guard::builder();
    let builder = match target.host() {
        Host::Ip(address) => builder
            .resolver(Fixed::default())
            .settings(settings(target, NOBODY, &[]))
            .grants([grant(*address, target.port())?]),
        Host::Domain(name) if name.as_str() == LOCALHOST => builder
            .resolver(localhost()?)
            .settings(settings(target, LOCALHOST, &[]))
            .grants([grant(LOOPBACK, target.port())?]),
        Host::Domain(name) => {
            builder
                .resolver(resolver)
                .settings(settings(target, name.as_str(), PRIVATE))
        }
    };
    builder.build().map_err(|error| error.to_string())
}

fn settings(target: &Target, name: &str, networks: &[&str]) -> Value {
    let mut settings = json!({
        "schemes": [target.scheme().as_str()],
        "ports": [target.port()],
        "hosts": {"allow": [name]},
        "check_chain": false,
    });
    if let Value::Object(fields) = &mut settings
        && name != NOBODY
    {
        fields.insert("names".into(), json!({"allow": [name]}));
        fields.insert("networks".into(), json!({"allow": networks}));
    }
    settings
}

fn localhost() -> Result<Fixed, String> {
    let rule = format!("{LOCALHOST}={LOOPBACK}");
    Fixed::default()
        .rule(&rule)
        .map_err(|error| error.to_string())
}

fn grant(address: IpAddr, port: u16) -> Result<Grant, String> {
    let text = match address {
        IpAddr::V4(address) => format!("{address}/32:{port}"),
        IpAddr::V6(address) => format!("[{address}/128]:{port}"),
    };
    text.parse()
        .map_err(|error| format!("the collector cannot be at {address}: {error}"))
}

fn headers(config: &config::Tracing) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let wrong = || format!("the header `{}` cannot be sent", name.escape_default());
        let name = HeaderName::try_from(name).map_err(|_| wrong())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

impl HttpClient for Collector {
    /// URL and headers of the request are not looked at: they are those of the configuration.
    fn send_bytes<'a, 'async_trait>(
        &'a self,
        request: http::Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'a: 'async_trait,
        Self: 'async_trait,
    {
        let (client, target) = (self.client.clone(), self.target.clone());
        let headers = self.headers.clone();
        Box::pin(Self::send(client, target, headers, request.into_body()))
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

/// The longest answer of a collector, in bytes: it says how many spans it did not take.
const ANSWER: u64 = 64 << 10;
/// Networks that a collector with a name may be in, besides the public one.
const PRIVATE: &[&str] = &[
    "10.0.0.0/8",
    "100.64.0.0/10",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
];
const LOCALHOST: &str = "localhost";
const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
/// A name that nobody asks for: with a list of hosts no address passes but the one that is granted.
const NOBODY: &str = "collector.example.com";
