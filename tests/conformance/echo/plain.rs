//! The backends without HTTP: lines over TCP and TLS, datagrams, and a name server.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

use super::Identity;
use super::http::describe;
use crate::sockets::WELCOME;

pub(super) async fn tcp(listener: TcpListener, identity: Arc<Identity>, tls: Option<TlsAcceptor>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (identity, tls) = (identity.clone(), tls.clone());
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let Some(acceptor) = tls else { return drop(lines(stream, &identity, Value::Null).await) };
            if let Ok(stream) = acceptor.accept(stream).await {
                let seen = describe(&stream);
                drop(lines(stream, &identity, seen).await);
            }
        });
    }
}

/// Welcomes, then answers `PING`, `IS_TLS` and `TEST`, a line each.
async fn lines<S>(stream: S, identity: &Identity, tls: Value) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    stream.write_all(WELCOME.as_bytes()).await?;
    stream.flush().await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let answer = match line.trim_end() {
            "PING" => "PONG".to_owned(),
            "IS_TLS" => (!tls.is_null()).to_string(),
            "TEST" => {
                let mut seen = whoami(identity);
                seen["isTLS"] = json!(!tls.is_null());
                if !tls.is_null() {
                    seen["tls"] = tls.clone();
                }
                seen.to_string()
            }
            _ => String::new(),
        };
        if !answer.is_empty() {
            stream.write_all(format!("{answer}\n").as_bytes()).await?;
            stream.flush().await?;
        }
        line.clear();
    }
    Ok(())
}

fn whoami(identity: &Identity) -> Value {
    json!({"namespace": identity.namespace, "ingress": "", "service": identity.service, "pod": identity.pod})
}

pub(super) async fn udp(socket: UdpSocket, identity: Arc<Identity>) {
    let mut buffer = [0; 2048];
    while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
        let mut seen = whoami(&identity);
        seen["request"] = json!(String::from_utf8_lossy(&buffer[..count]));
        let _ = socket.send_to(seen.to_string().as_bytes(), from).await;
    }
}

/// Answers each question with itself and no records (RFC 1035 section 4.1.1: QR, RCODE 0).
pub(super) async fn dns(socket: UdpSocket) {
    let mut buffer = [0; 512];
    while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
        if count >= 12 {
            buffer[2] |= 0x80;
            buffer[3] = 0;
            let _ = socket.send_to(&buffer[..count], from).await;
        }
    }
}
