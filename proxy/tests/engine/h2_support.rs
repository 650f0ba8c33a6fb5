//! A client and an endpoint that speak HTTP/2, on the `h2` crate, over real sockets.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Proxy};

/// Runs `work` on a runtime of its own, and for no longer than anything may take.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(3 * PATIENCE, work).await.expect("it takes too long") })
}

/// A client's connection, in plain text by prior knowledge.
pub(crate) async fn connect(proxy: &Proxy) -> SendRequest<Bytes> {
    connect_with(proxy.address("l"), &Builder::new()).await.0
}

/// The same with settings of the client's, and what shows how the connection ends.
pub(crate) async fn connect_with(
    address: SocketAddr,
    builder: &Builder,
) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let io = TcpStream::connect(address).await.unwrap();
    io.set_nodelay(true).unwrap();
    let (client, connection) = builder.handshake(io).await.unwrap();
    let driver = tokio::spawn(connection);
    (client.ready().await.unwrap(), driver)
}

/// A request for a path of host `a`, with nothing else.
pub(crate) fn get(path: &str) -> Request<()> {
    Request::get(format!("http://a{path}")).body(()).unwrap()
}

/// Sends a body to its end, as the window lets it.
pub(crate) async fn send(stream: &mut SendStream<Bytes>, mut body: Bytes, end: bool) -> Result<(), h2::Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let n = match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(n) => n?.min(body.len()),
            None => return Err(h2::Reason::CANCEL.into()),
        };
        stream.send_data(body.split_to(n), false)?;
    }
    if end { stream.send_data(Bytes::new(), true) } else { Ok(()) }
}

/// A body and its trailers.
pub(crate) async fn body(stream: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        let _ = stream.flow_control().release_capacity(chunk.len());
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, stream.trailers().await?))
}

/// Sends a request without a body and waits for the whole answer.
pub(crate) async fn ask(client: &mut SendRequest<Bytes>, request: Request<()>) -> (Response<()>, Vec<u8>) {
    let (response, _) = client.send_request(request, true).unwrap();
    let (parts, mut stream) = response.await.unwrap().into_parts();
    (Response::from_parts(parts, ()), body(&mut stream).await.unwrap().0)
}

/// What a head is billed for, by the definition.
pub(crate) fn text(start: &str, headers: &HeaderMap) -> usize {
    start.len() + 2 + headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>() + 2
}

/// Looks again and again until there is a value, while other tasks of the test go on.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let work = async {
        loop {
            if let Some(value) = look() {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("no {what}"))
}

/// An endpoint that speaks HTTP/2.
pub(crate) struct Endpoint {
    socket: tokio::net::TcpListener,
    pub(crate) address: SocketAddr,
}

/// A connection to it.
pub(crate) type Accepted = h2::server::Connection<TcpStream, Bytes>;

impl Endpoint {
    /// To be called within the test's runtime.
    pub(crate) async fn new() -> Self {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }

    /// The next connection, with settings of the endpoint's.
    pub(crate) async fn accept(&self, builder: &h2::server::Builder) -> Accepted {
        let (io, _) = self.socket.accept().await.unwrap();
        io.set_nodelay(true).unwrap();
        builder.handshake(io).await.unwrap()
    }

    /// Serves every connection and stream with `answer`, for ever.
    pub(crate) fn serve<F>(self, answer: impl Fn(Request<RecvStream>, Respond) -> F + Clone + 'static) -> SocketAddr
    where
        F: Future<Output = ()> + 'static,
    {
        let address = self.address;
        tokio::task::spawn_local(async move {
            loop {
                let mut connection = self.accept(&h2::server::Builder::new()).await;
                let answer = answer.clone();
                tokio::task::spawn_local(async move {
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::task::spawn_local(answer(request, respond));
                    }
                });
            }
        });
        address
    }
}

/// What an endpoint answers with.
pub(crate) type Respond = h2::server::SendResponse<Bytes>;

/// Runs `work`, which may spawn local tasks.
pub(crate) fn run_local<T>(work: impl Future<Output = T>) -> T {
    run(tokio::task::LocalSet::new().run_until(work))
}

/// A proxy whose cluster `c` speaks HTTP/2 at these endpoints.
pub(crate) fn proxy_to(setup: crate::support::Setup, endpoints: &[SocketAddr]) -> Proxy {
    let timeout = setup.connect_timeout;
    let proxy = Proxy::with(setup, endpoints);
    let mut cluster = crate::support::cluster("c", timeout, endpoints);
    cluster.protocol = weir_config::model::UpstreamProtocol::Http2;
    proxy.apply(vec![cluster.into()]);
    proxy
}
