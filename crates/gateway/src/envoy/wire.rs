//! The messages of `ext_authz` (`envoy.service.auth.v3`), as far as they are read or written here.
//!
//! Fields that are not listed are passed over, as protocol buffers have it. The numbers are those of
//! `envoy/service/auth/v3/external_auth.proto` and `attribute_context.proto`.

use std::collections::HashMap;

use prost::Message;
use prost_types::Struct;

/// The method that decides.
pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
/// The service, as its health is asked for.
pub const SERVICE: &str = "envoy.service.auth.v3.Authorization";

/// `CheckRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct CheckRequest {
    /// What is known of the request.
    #[prost(message, optional, tag = "1")]
    pub attributes: Option<Attributes>,
}

/// `AttributeContext`.
#[derive(Clone, PartialEq, Message)]
pub struct Attributes {
    /// Who connects to Envoy.
    #[prost(message, optional, tag = "1")]
    pub source: Option<Peer>,
    /// Where it connects to: an address of Envoy.
    #[prost(message, optional, tag = "2")]
    pub destination: Option<Peer>,
    /// The request, of the filter for HTTP.
    #[prost(message, optional, tag = "4")]
    pub request: Option<Request>,
    /// What the route of Envoy says; never the client.
    #[prost(map = "string, string", tag = "10")]
    pub context_extensions: HashMap<String, String>,
    /// TLS of the client, where Envoy is told to pass it on.
    #[prost(message, optional, tag = "12")]
    pub tls_session: Option<TlsSession>,
}

/// `AttributeContext.Peer`.
#[derive(Clone, PartialEq, Message)]
pub struct Peer {
    /// Where it is.
    #[prost(message, optional, tag = "1")]
    pub address: Option<Address>,
    /// The identity in its certificate: a URI, a DNS name, or the subject.
    #[prost(string, tag = "4")]
    pub principal: String,
}

/// `core.v3.Address`.
#[derive(Clone, PartialEq, Message)]
pub struct Address {
    /// Over TCP.
    #[prost(message, optional, tag = "1")]
    pub socket_address: Option<SocketAddress>,
}

/// `core.v3.SocketAddress`.
#[derive(Clone, PartialEq, Message)]
pub struct SocketAddress {
    /// The address.
    #[prost(string, tag = "2")]
    pub address: String,
    /// The port.
    #[prost(uint32, tag = "3")]
    pub port_value: u32,
}

/// `AttributeContext.Request`.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// The request, when it is one of HTTP.
    #[prost(message, optional, tag = "2")]
    pub http: Option<HttpRequest>,
}

/// `AttributeContext.HttpRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct HttpRequest {
    /// A number of the request in this Envoy.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The method.
    #[prost(string, tag = "2")]
    pub method: String,
    /// Header fields, names in lower case.
    #[prost(map = "string, string", tag = "3")]
    pub headers: HashMap<String, String>,
    /// Path and query; none of `CONNECT`.
    #[prost(string, tag = "4")]
    pub path: String,
    /// The authority, as it came.
    #[prost(string, tag = "5")]
    pub host: String,
    /// `http` or `https`.
    #[prost(string, tag = "6")]
    pub scheme: String,
    /// Header fields, where Envoy is told to send their bytes (`encode_raw_headers`): then there are none above.
    #[prost(message, optional, tag = "13")]
    pub header_map: Option<HeaderMap>,
}

/// `core.v3.HeaderMap`.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderMap {
    /// The fields, as often as they came.
    #[prost(message, repeated, tag = "1")]
    pub headers: Vec<HeaderValue>,
}

/// `AttributeContext.TLSSession`.
#[derive(Clone, PartialEq, Message)]
pub struct TlsSession {
    /// The server name.
    #[prost(string, tag = "1")]
    pub sni: String,
}

/// `CheckResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct CheckResponse {
    /// Zero allows.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    /// What the client is told, or what is changed of its request.
    #[prost(oneof = "Answer", tags = "2, 3")]
    pub answer: Option<Answer>,
    /// What Envoy keeps beside the request.
    #[prost(message, optional, tag = "4")]
    pub dynamic_metadata: Option<Struct>,
}

/// The two kinds of answers.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Answer {
    /// The client gets this.
    #[prost(message, tag = "2")]
    Denied(DeniedResponse),
    /// The request goes on.
    #[prost(message, tag = "3")]
    Ok(OkResponse),
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// `google.rpc.Code`.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For the log of Envoy.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// `DeniedHttpResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct DeniedResponse {
    /// The status.
    #[prost(message, optional, tag = "1")]
    pub status: Option<HttpStatus>,
    /// Header fields.
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderOption>,
    /// The body.
    #[prost(string, tag = "3")]
    pub body: String,
}

/// `type.v3.HttpStatus`.
#[derive(Clone, PartialEq, Message)]
pub struct HttpStatus {
    /// The status.
    #[prost(int32, tag = "1")]
    pub code: i32,
}

/// `OkHttpResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct OkResponse {
    /// Header fields that the server is not to see.
    #[prost(string, repeated, tag = "5")]
    pub headers_to_remove: Vec<String>,
}

/// `core.v3.HeaderValueOption`.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderOption {
    /// The field.
    #[prost(message, optional, tag = "1")]
    pub header: Option<HeaderValue>,
    /// 2: in place of what is there.
    #[prost(int32, tag = "3")]
    pub append_action: i32,
}

/// `core.v3.HeaderValue`.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
    /// Its value, where it is sent as bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub raw_value: Vec<u8>,
}

/// `HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD`.
pub const OVERWRITE: i32 = 2;
