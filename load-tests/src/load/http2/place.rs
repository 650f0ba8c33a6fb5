//! One stream's response, as it comes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Context as _, ensure};
use h2::RecvStream;
use h2::client::ResponseFuture;
use http::HeaderMap;

use super::{Answer, PREFIX};
use crate::http::Expected;

/// Where a request of a [`super::Session`] is.
pub(super) enum Place {
    Free,
    Asked { response: ResponseFuture, grpc: bool },
    Body { stream: RecvStream, bytes: usize, grpc: bool },
    Trailers(RecvStream),
}

impl Place {
    pub(super) fn asked(response: ResponseFuture, grpc: bool) -> Self {
        Self::Asked { response, grpc }
    }

    /// Takes what has come; whether the response is whole now, and the place free again.
    ///
    /// # Errors
    /// A response that is not as expected, and a stream that ends before it does.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, expected: Expected) -> anyhow::Result<bool> {
        loop {
            match self {
                Self::Free => return Ok(false),
                Self::Asked { response, grpc } => {
                    let Poll::Ready(response) = Pin::new(response).poll(cx) else { return Ok(false) };
                    let (head, stream) = response.context("receive")?.into_parts();
                    let status = head.status.as_u16();
                    ensure!(status == expected.status, "expected status {}, got {status}", expected.status);
                    *self = Self::Body { stream, bytes: 0, grpc: *grpc };
                }
                Self::Body { stream, bytes, grpc } => {
                    let Poll::Ready(data) = stream.poll_data(cx) else { return Ok(false) };
                    match data {
                        Some(data) => *bytes += take(stream, &data.context("receive")?)?,
                        None => {
                            let length = expected.length + if *grpc { PREFIX } else { 0 };
                            ensure!(*bytes == length, "expected {length} bytes, got {bytes}");
                            let Self::Body { stream, grpc, .. } = std::mem::replace(self, Self::Free) else { continue };
                            if !grpc {
                                return Ok(true);
                            }
                            *self = Self::Trailers(stream);
                        }
                    }
                }
                Self::Trailers(stream) => {
                    let Poll::Ready(trailers) = stream.poll_trailers(cx) else { return Ok(false) };
                    ok(trailers.context("receive")?.as_ref())?;
                    *self = Self::Free;
                    return Ok(true);
                }
            }
        }
    }
}

/// Uses bytes, so that more may come.
fn take(stream: &mut RecvStream, data: &[u8]) -> anyhow::Result<usize> {
    stream.flow_control().release_capacity(data.len())?;
    Ok(data.len())
}

/// Whether trailers say that a call went well.
fn ok(trailers: Option<&HeaderMap>) -> anyhow::Result<()> {
    let status = trailers.and_then(|trailers| trailers.get("grpc-status")).map(|value| value.as_bytes());
    ensure!(status == Some(b"0"), "expected grpc-status 0, got {:?}", status.map(String::from_utf8_lossy));
    Ok(())
}

/// The response in full.
pub(super) async fn whole(response: ResponseFuture, grpc: bool) -> anyhow::Result<Answer> {
    let (head, mut stream) = response.await.context("receive")?.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.context("receive")?;
        take(&mut stream, &data)?;
        body.extend_from_slice(&data);
    }
    if grpc {
        ok(stream.trailers().await.context("receive")?.as_ref())?;
        let length = body.len().checked_sub(PREFIX).context("no message")?;
        let said = body.get(..PREFIX).and_then(|prefix| prefix.strip_prefix(&[0]));
        let said = said.and_then(|length| Some(u32::from_be_bytes(length.try_into().ok()?)));
        ensure!(said.map(|said| said as usize) == Some(length), "{length} bytes are not one message");
        body.drain(..PREFIX);
    }
    let fields = head
        .headers
        .iter()
        .flat_map(|(name, value)| [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    Ok(Answer { status: head.status.as_u16(), fields: fields.collect(), body })
}
