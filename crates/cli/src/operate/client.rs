//! One question to a gateway, and its answer: JSON over HTTP/1.1, bounded in time and size.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pinfold_gateway::operator::Tls;
use serde_json::Value;

use super::socket::Place;
use crate::{fault::Fault, files, text::Printable};

/// Where the gateway is, and how to prove who asks.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Gateway")]
pub(super) struct GatewayOptions {
    /// The gateway's interface for operators: `127.0.0.1:4751`, `unix:PATH`, or `https://ADDRESS:PORT`
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:4751",
        global = true
    )]
    admin: Place,

    /// File with the token of `admin.token_file`; changes need it, a Unix socket, or a certificate
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,

    /// Who signs the gateway's certificate, PEM, for `https://`. May be repeated
    #[arg(long, value_name = "FILE", global = true)]
    cacert: Vec<PathBuf>,

    /// Certificate of the operator, PEM
    #[arg(long, value_name = "FILE", requires = "key", global = true)]
    cert: Option<PathBuf>,

    /// Private key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert", global = true)]
    key: Option<PathBuf>,

    /// Name in the gateway's certificate. Default: its address
    #[arg(long, value_name = "NAME", global = true)]
    server_name: Option<String>,
}

/// What a gateway said no to.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Fault);

/// What is asked.
pub(super) struct Ask {
    method: Method,
    path: String,
    body: Vec<u8>,
}

impl Ask {
    pub(super) fn read(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            body: Vec::new(),
        }
    }

    pub(super) fn change(path: impl Into<String>, body: Vec<u8>) -> Self {
        Self {
            method: Method::POST,
            path: path.into(),
            body,
        }
    }

    pub(super) fn delete(path: impl Into<String>) -> Self {
        Self {
            method: Method::DELETE,
            path: path.into(),
            body: Vec::new(),
        }
    }
}

impl GatewayOptions {
    /// Asks, and gives the JSON of the answer. The inner error is the gateway's own: it is there, and says no.
    pub(super) fn ask(&self, ask: Ask) -> anyhow::Result<Result<Value, Refused>> {
        let request = self.request(ask)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let answer = runtime.block_on(async {
            match tokio::time::timeout(ANSWER_TIME, self.answer(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(self.fault("does not answer in time", "is it overloaded?")),
            }
        });
        let (status, body) = answer?;
        let value: Value = serde_json::from_slice(&body).map_err(|_| self.not_ours())?;
        match (status.is_success(), value["error"]["stage"] == STAGE) {
            (true, _) => Ok(Ok(value)),
            (false, true) => Ok(Err(Refused(self.refused(status, &value)))),
            // The proxy's own listener refuses, too.
            (false, false) => Err(self.not_ours().into()),
        }
    }

    fn request(&self, ask: Ask) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(&ask.method)
            .uri(ask.path)
            .header(header::HOST, self.admin.host())
            .header(header::ACCEPT, "application/json");
        if ask.method != Method::GET {
            request = request
                .header("pinfold-admin", "1")
                .header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(file) = &self.token_file {
            let token = token(file)?;
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(ask.body.into()));
        request
            .map_err(|_| Fault::new("this cannot be sent", "write ids and tokens in ASCII").into())
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Fault> {
        let stream = self.admin.connect(&self.tls()).await;
        let stream = stream.map_err(|error| self.not_connected(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| self.not_ours())?;
        let exchange = async {
            let answer = sender.send_request(request).await;
            let answer = answer.map_err(|error| self.broken(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES)
                .collect()
                .await;
            let body = body.map_err(|_| self.fault("broke off its answer", "try again"))?;
            Ok((status, body.to_bytes()))
        };
        tokio::pin!(exchange);
        tokio::pin!(connection);
        tokio::select! {
            answer = &mut exchange => answer,
            // What was answered before it ended is still there.
            _ = &mut connection => exchange.await,
        }
    }

    fn tls(&self) -> Tls {
        Tls {
            authorities: self.cacert.clone(),
            identity: self.cert.clone().zip(self.key.clone()),
            name: self.server_name.clone(),
        }
    }

    fn not_connected(&self, error: &io::Error) -> Fault {
        let hint = match (error.kind(), &self.admin) {
            (io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound, _) => {
                "is the gateway running? `pinfold serve` starts it, and `--admin` says where its `admin.bind` is"
            }
            (io::ErrorKind::PermissionDenied, Place::Unix(_)) => {
                "`admin.unix_mode` and the owner of the socket say who may open it"
            }
            (io::ErrorKind::InvalidInput, Place::Tls(_)) => {
                "name the authority of the gateway's certificate (`--cacert`)"
            }
            (_, Place::Tls(_)) => {
                "check `--cacert` and `--server-name`; `--cert` and `--key` where it asks for a certificate"
            }
            _ => "`--admin` says where its `admin.bind` is",
        };
        let message = format!("cannot connect to the gateway at `{}`: {error}", self.admin);
        Fault::new(message, hint)
    }

    fn broken(&self, error: &hyper::Error) -> Fault {
        let message = format!("the gateway at `{}` gave no answer: {error}", self.admin);
        Fault::new(
            message,
            "where it has `admin.tls`, write `--admin https://…`",
        )
    }

    fn not_ours(&self) -> Fault {
        self.fault(
            "does not answer like a gateway",
            "`--admin` is the address of `admin.bind`, not that of a listener of the proxy",
        )
    }

    fn fault(&self, what: &str, hint: &str) -> Fault {
        Fault::new(format!("the gateway at `{}` {what}", self.admin), hint)
    }

    /// The gateway's own words. Its hint names settings and headers; where an option is the answer, that is named.
    fn refused(&self, status: StatusCode, value: &Value) -> Fault {
        let error = &value["error"];
        let text = |field: &str| error[field].as_str().unwrap_or_default();
        let code = match text("code") {
            "" => status.as_str(),
            code => code,
        };
        let message = match text("detail") {
            "" => format!("the gateway refuses: `{code}`"),
            detail => format!("the gateway refuses: `{code}`: {detail}"),
        };
        let hint = match (code, self.token_file.is_some()) {
            ("proof-missing", _) if status == StatusCode::UNAUTHORIZED => {
                "give the token: `--token-file FILE`"
            }
            ("proof-missing", _) => {
                "the gateway has no token: set `admin.token_file` and give it (`--token-file`), or bind a Unix \
                 socket (`admin.bind`) and use it (`--admin unix:PATH`)"
            }
            ("token-wrong", _) => {
                "`--token-file` must hold what the gateway's `admin.token_file` holds"
            }
            _ => text("hint"),
        };
        Fault::new(message, hint)
    }
}

fn token(file: &std::path::Path) -> anyhow::Result<String> {
    use std::io::Read;

    let mut text = String::new();
    let read = files::regular(file)?
        .take(TOKEN_BYTES)
        .read_to_string(&mut text);
    read.map_err(|error| {
        let message = format!("cannot read `{}`: {error}", file.display());
        Fault::new(message, "the file holds one token, in ASCII")
    })?;
    Ok(text.trim().to_owned())
}

/// Text of a gateway, for a terminal.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => Printable(text).to_string(),
        other => Printable(&other.to_string()).to_string(),
    }
}

/// Who refuses.
const STAGE: &str = "admin";
/// A gateway answers a change within 120 s.
const ANSWER_TIME: Duration = Duration::from_secs(130);
const ANSWER_BYTES: usize = 64 << 20;
const TOKEN_BYTES: u64 = 4_096;
