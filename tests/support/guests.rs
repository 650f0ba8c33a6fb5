//! What `weir echo` is not: backends that speak gRPC, TLS, lines over TCP, or datagrams, and clients to match. They live
//! in the test's own process and end with it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use serde::Deserialize;
use serde_json::{Value, json};

use super::case::Scheme;
use super::http::{Request, Response};
use super::tls::Authority;

/// No answer within this is none.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The same of a datagram, which nothing says that it was lost.
const DATAGRAM: Duration = Duration::from_secs(2);
/// Longest answer to a datagram.
const LONGEST: usize = 2048;

/// A backend of a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// What it speaks.
    pub kind: Kind,
    /// Where it listens.
    pub port: u16,
    /// Names in its certificate, which the test's authority issues.
    #[serde(default)]
    pub names: Vec<String>,
    /// Its certificate is of an authority that nobody knows.
    #[serde(default)]
    pub stranger: bool,
}

/// What a guest speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Says its name, a line, to whoever connects.
    Line,
    /// The same within TLS.
    Tls,
    /// HTTP/1.1 within TLS: says who it is and what it was asked.
    Https,
    /// Its name for every datagram.
    Udp,
    /// gRPC over HTTP/2 in plain text: every method, with one message that says who it is and what it was asked.
    Grpc,
}

/// A guest that listens; its port is free again once it is dropped.
pub struct Running {
    ended: Arc<AtomicBool>,
    address: SocketAddr,
    kind: Kind,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Whoever waits for a client gets one.
        if self.kind == Kind::Udp {
            let woken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.send_to(b"", self.address));
            drop(woken);
        } else {
            drop(TcpStream::connect(self.address));
        }
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Starts a guest. It listens when this returns.
pub fn start(ip: Ipv4Addr, name: &str, guest: &Guest, authority: &Authority) -> Running {
    let (name, ended): (Arc<str>, Arc<AtomicBool>) = (name.into(), Arc::default());
    let (kind, address, over) = (guest.kind, SocketAddr::from((ip, guest.port)), ended.clone());
    let thread = if kind == Kind::Udp {
        let socket = UdpSocket::bind(address).unwrap();
        thread::spawn(move || datagrams(&socket, &name, &over))
    } else {
        let names: Vec<&str> = guest.names.iter().map(String::as_str).collect();
        let pair = if guest.stranger { Authority::new().issue(&names) } else { authority.issue(&names) };
        let (tls, listener) = (pair.server(), TcpListener::bind(address).unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (name, tls) = (name.clone(), tls.clone());
                // How a connection ends is its client's affair.
                thread::spawn(move || drop(serve(kind, stream, &name, tls)));
            }
        })
    };
    Running { ended, address, kind, thread: Some(thread) }
}

fn serve(kind: Kind, mut stream: TcpStream, name: &str, tls: Arc<ServerConfig>) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    match kind {
        Kind::Grpc => grpc(stream, name),
        Kind::Line | Kind::Udp => writeln!(stream, "{name}"),
        Kind::Tls | Kind::Https => {
            let mut connection = rustls::ServerConnection::new(tls).map_err(io::Error::other)?;
            while connection.is_handshaking() {
                connection.complete_io(&mut stream)?;
            }
            let mut stream = rustls::StreamOwned::new(connection, stream);
            if kind == Kind::Tls {
                writeln!(stream, "{name}")?;
            } else {
                https(&mut stream, name)?;
            }
            stream.conn.send_close_notify();
            stream.flush()
        }
    }
}

fn https(stream: &mut rustls::StreamOwned<rustls::ServerConnection, TcpStream>, name: &str) -> io::Result<()> {
    let sni = stream.conn.server_name().unwrap_or_default().to_owned();
    let mut head = String::new();
    let mut reader = BufReader::new(&mut *stream);
    while reader.read_line(&mut head)? > 2 {}
    let mut first = head.split_whitespace().skip(1);
    let body = json!({"name": name, "path": first.next(), "sni": sni}).to_string();
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
    write!(stream, "{head}connection: close\r\n\r\n{body}")
}

fn datagrams(socket: &UdpSocket, name: &str, ended: &AtomicBool) {
    let mut buffer = [0; LONGEST];
    while let Ok((_, from)) = socket.recv_from(&mut buffer) {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        drop(socket.send_to(name.as_bytes(), from));
    }
}

fn grpc(stream: TcpStream, name: &str) -> io::Result<()> {
    stream.set_read_timeout(None)?;
    stream.set_nonblocking(true)?;
    runtime()?.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let mut connection = h2::server::handshake(stream).await.map_err(io::Error::other)?;
        while let Some(accepted) = connection.accept().await {
            let (request, mut respond) = accepted.map_err(io::Error::other)?;
            let message = seen(name, &request);
            let head = http::Response::builder().header("content-type", "application/grpc").body(());
            let head = head.map_err(io::Error::other)?;
            let mut body = respond.send_response(head, false).map_err(io::Error::other)?;
            body.send_data(framed(message.to_string().as_bytes()), false).map_err(io::Error::other)?;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            body.send_trailers(trailers).map_err(io::Error::other)?;
        }
        Ok(())
    })
}

/// What a call looked like, as `weir echo` says it.
fn seen<B>(name: &str, request: &http::Request<B>) -> Value {
    let mut headers = serde_json::Map::new();
    for (name, value) in request.headers() {
        let values = headers.entry(name.as_str()).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(json!(String::from_utf8_lossy(value.as_bytes())));
        }
    }
    json!({
        "name": name, "path": request.uri().path(), "headers": headers,
        "host": request.uri().authority().map(ToString::to_string),
    })
}

/// A message of gRPC with its prefix: not compressed, and its length.
fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(message.len() + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).unwrap());
    bytes.put_slice(message);
    bytes.freeze()
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Asks a guest through the proxy at `address`. What it says of itself is the response's body; of a call that did not
/// end well, the code stands in the header `grpc-status`.
///
/// # Errors
/// There is no answer.
pub fn ask(scheme: Scheme, address: SocketAddr, request: &Request, tls: &Arc<ClientConfig>) -> io::Result<Response> {
    let name = match scheme {
        Scheme::Grpc => return runtime()?.block_on(call(address, request)),
        Scheme::Udp => datagram(address)?,
        _ => {
            let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            if scheme == Scheme::Tls {
                let name = ServerName::try_from(request.host.clone()).map_err(io::Error::other)?;
                let client = rustls::ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
                line(rustls::StreamOwned::new(client, stream))?
            } else {
                line(stream)?
            }
        }
    };
    Ok(Response { status: 200, headers: Vec::new(), body: json!({"name": name}).to_string().into_bytes() })
}

fn line(stream: impl Read) -> io::Result<String> {
    let mut text = String::new();
    match BufReader::new(stream).read_line(&mut text)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(text.trim_end().to_owned()),
    }
}

fn datagram(address: SocketAddr) -> io::Result<String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(DATAGRAM))?;
    socket.send_to(b"who?", address)?;
    let mut buffer = [0; LONGEST];
    let count = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned())
}

async fn call(address: SocketAddr, request: &Request) -> io::Result<Response> {
    let exchange = async {
        let stream = tokio::net::TcpStream::connect(address).await?;
        let (mut client, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        let mut head = http::Request::post(format!("http://{}{}", request.host, request.target))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in &request.headers {
            head = head.header(name, value);
        }
        let (response, mut body) =
            client.send_request(head.body(()).map_err(io::Error::other)?, false).map_err(io::Error::other)?;
        body.send_data(framed(b""), true).map_err(io::Error::other)?;
        let (parts, mut stream) = response.await.map_err(io::Error::other)?.into_parts();
        let mut message = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data.map_err(io::Error::other)?;
            stream.flow_control().release_capacity(data.len()).map_err(io::Error::other)?;
            message.extend_from_slice(&data);
        }
        let trailers = stream.trailers().await.map_err(io::Error::other)?.unwrap_or_default();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = parts.headers.iter().chain(trailers.iter());
        Ok(Response {
            status: parts.status.as_u16(),
            headers: headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
            body: message.get(5..).unwrap_or_default().to_vec(),
        })
    };
    tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
