//! A light backend: answers every request on a connection with the same 1 KiB.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Bytes of each response's body.
const BODY: usize = 1024;

/// Serves on a free loopback port until the process ends.
pub(crate) fn start() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

/// Requests here have no body, so a blank line ends each.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let response =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {BODY}\r\n\r\n{}", "x".repeat(BODY));
    let mut buffer = [0; 16 << 10];
    let mut held = 0;
    loop {
        let read = stream.read(&mut buffer[held..])?;
        if read == 0 {
            return Ok(());
        }
        held += read;
        while let Some(end) = buffer[..held].windows(4).position(|w| w == b"\r\n\r\n") {
            stream.write_all(response.as_bytes())?;
            buffer.copy_within(end + 4..held, 0);
            held -= end + 4;
        }
    }
}
