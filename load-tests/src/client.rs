//! A client that keeps one connection and checks every response.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long one response may take, under an emulator on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends `count` requests one after another, `hosts` in turn; every answer must be a 200 with its whole body.
pub(crate) fn run(address: SocketAddr, hosts: &[String], count: u32) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let requests: Vec<String> = hosts
        .iter()
        .map(|host| {
            format!("GET /api/items?page=2 HTTP/1.1\r\nhost: {host}\r\nuser-agent: load/1\r\naccept: */*\r\n\r\n")
        })
        .collect();
    let mut buffer = vec![0; 16 << 10];
    for request in requests.iter().cycle().take(count as usize) {
        stream.write_all(request.as_bytes())?;
        let status = response(&mut stream, &mut buffer)?;
        if status != 200 {
            bail!("expected 200, got {status}");
        }
    }
    Ok(())
}

/// Waits until `host` answers 200.
pub(crate) fn ready(address: SocketAddr, host: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let hosts = [host.to_owned()];
    loop {
        match run(address, &hosts, 1) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error.context("never became ready")),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Reads one response with a `content-length`; gives its status.
fn response(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<u16> {
    let mut held = 0;
    loop {
        let read = stream.read(&mut buffer[held..])?;
        if read == 0 {
            bail!("the connection ended inside a response");
        }
        held += read;
        let Some(end) = buffer[..held].windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end])?;
        let status = head.get(9..12).context("no status")?.parse()?;
        let length: usize = head
            .lines()
            .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:").map(|v| v.trim().to_owned()))
            .context("no content-length")?
            .parse()?;
        let mut rest = (end + 4 + length).checked_sub(held).context("more bytes than the response has")?;
        while rest > 0 {
            let read = stream.read(&mut buffer[..])?;
            if read == 0 {
                bail!("the connection ended inside a body");
            }
            rest = rest.checked_sub(read).context("more bytes than the response has")?;
        }
        return Ok(status);
    }
}
