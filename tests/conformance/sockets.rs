//! Clients of what is no HTTP request: lines over TCP and TLS, datagrams, WebSocket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;

/// What the TCP backend says first.
pub const WELCOME: &str = "Gateway API Test TCP Server\n";
/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// TLS of a client: the name that it asks for, and whom it trusts.
pub type Tls = Option<(String, Arc<ClientConfig>)>;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn connect(address: SocketAddr, tls: &Tls) -> Result<Box<dyn Stream>, String> {
    let tcp = TcpStream::connect_timeout(&address, TIMEOUT).map_err(|error| format!("connect: {error}"))?;
    tcp.set_read_timeout(Some(TIMEOUT)).map_err(|error| error.to_string())?;
    tcp.set_write_timeout(Some(TIMEOUT)).map_err(|error| error.to_string())?;
    let Some((name, config)) = tls else { return Ok(Box::new(tcp)) };
    let name = ServerName::try_from(name.clone()).map_err(|error| error.to_string())?;
    let client = rustls::ClientConnection::new(config.clone(), name).map_err(|error| error.to_string())?;
    let mut stream = rustls::StreamOwned::new(client, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|error| format!("TLS: {error}"))?;
    }
    Ok(Box::new(stream))
}

/// What the TCP backend says of itself, after its welcome and `PING`.
pub fn ask_tcp(address: SocketAddr, tls: &Tls) -> Result<Value, String> {
    let mut stream = BufReader::new(connect(address, tls)?);
    let mut line = String::new();
    let mut read = |stream: &mut BufReader<Box<dyn Stream>>| {
        line.clear();
        match stream.read_line(&mut line) {
            Ok(0) => Err("the connection was closed".to_owned()),
            Ok(_) => Ok(line.clone()),
            Err(error) => Err(format!("read: {error}")),
        }
    };
    let welcome = read(&mut stream)?;
    if welcome != WELCOME {
        return Err(format!("welcomed by {welcome:?}"));
    }
    let say = |stream: &mut BufReader<Box<dyn Stream>>, text: &[u8]| {
        stream.get_mut().write_all(text).and_then(|()| stream.get_mut().flush()).map_err(|e| format!("write: {e}"))
    };
    say(&mut stream, b"PING\n")?;
    let pong = read(&mut stream)?;
    if pong != "PONG\n" {
        return Err(format!("PING was answered by {pong:?}"));
    }
    say(&mut stream, b"TEST\n")?;
    serde_json::from_str(&read(&mut stream)?).map_err(|error| error.to_string())
}

/// Whether a TLS connection is refused: closed or reset, not answered by a handshake or an alert of ours.
///
/// # Errors
/// What happened instead.
pub fn refused(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Result<(), String> {
    let told = match connect(address, &Some((name.to_owned(), config.clone()))) {
        Ok(_) => return Err("the connection was not refused".into()),
        Err(told) => told,
    };
    let ended = ["end of file", "eof", "reset", "closed", "refused", "pipe"]
        .iter()
        .any(|word| told.to_ascii_lowercase().contains(word));
    if ended { Ok(()) } else { Err(told) }
}

/// What a UDP backend says of itself.
pub fn ask_udp(address: SocketAddr) -> Result<Value, String> {
    let answer = datagram(address, b"gateway-api-conformance-udp-echo")?;
    serde_json::from_slice(&answer).map_err(|error| error.to_string())
}

/// Sends a datagram and takes the answer.
pub fn datagram(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let asked = || -> std::io::Result<Vec<u8>> {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.send(bytes)?;
        let mut buffer = vec![0; 4096];
        let count = socket.recv(&mut buffer)?;
        buffer.truncate(count);
        Ok(buffer)
    };
    asked().map_err(|error| format!("no answer to a datagram: {error}"))
}

/// WebSocket (RFC 6455), as far as two ends need it that know each other.
pub mod websocket {
    use std::io::{self, Read, Write};
    use std::net::{SocketAddr, TcpStream};

    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

    use super::TIMEOUT;

    /// Section 1.3: its key, and the answer to it. Ours is always this one, so that nobody needs SHA-1.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// The answer to a key, if it is the one that is known.
    pub fn accept(key: &[u8]) -> Option<&'static str> {
        (key == KEY.as_bytes()).then_some(ACCEPT)
    }

    /// Sends every message back, until the other end closes.
    pub async fn echo<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
        loop {
            let mut head = [0; 2];
            stream.read_exact(&mut head).await?;
            let length = usize::from(head[1] & 0x7f);
            let mut mask = [0; 4];
            stream.read_exact(&mut mask).await?;
            let mut payload = vec![0; length];
            stream.read_exact(&mut payload).await?;
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            let mut frame = vec![head[0], head[1] & 0x7f];
            frame.extend(payload);
            stream.write_all(&frame).await?;
            stream.flush().await?;
            if head[0] & 0x0f == 8 {
                return Ok(());
            }
        }
    }

    /// Opens a WebSocket, sends a text and a binary message, and compares what comes back.
    pub fn converse(address: SocketAddr, host: &str, path: &str) -> Result<(), String> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(|error| error.to_string())?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Origin: http://gateway/\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        let head = head(&mut stream).map_err(|error| format!("no answer to the upgrade: {error}"))?;
        if !head.starts_with("HTTP/1.1 101 ") || !head.contains(ACCEPT) {
            return Err(format!("the upgrade was answered by {head:?}"));
        }
        for (opcode, payload) in [(0x81_u8, b"Websocket Support!".as_slice()), (0x82, &[1, 2, 3, 4, 5, 6, 7])] {
            let length = payload.len() as u8;
            let mut frame = vec![opcode, 0x80 | length];
            frame.extend(MASK);
            frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            stream.write_all(&frame).map_err(|error| error.to_string())?;
            let mut back = vec![0; payload.len() + 2];
            stream.read_exact(&mut back).map_err(|error| format!("no message came back: {error}"))?;
            if back[..2] != [opcode, length] || back[2..] != *payload {
                return Err(format!("{payload:?} came back as {back:?}"));
            }
        }
        Ok(())
    }

    fn head(stream: &mut TcpStream) -> io::Result<String> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&head).into_owned())
    }
}
