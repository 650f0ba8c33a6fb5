//! Sees the proxy's own socket calls with strace: what those on its clients' connections moved.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::process::Process;
use crate::support::site::Site;
use crate::support::wait;

/// Calls by which a connection comes and goes, and bytes move.
const CALLS: &str = "trace=accept,accept4,close,read,write,readv,writev,recvfrom,sendto,recvmsg,sendmsg";

/// Bytes that socket calls moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Returned by reads.
    pub read: u64,
    /// Accepted by writes.
    pub written: u64,
}

/// strace at work.
pub struct Witness {
    strace: Process,
    file: PathBuf,
    port: u16,
}

impl Witness {
    /// Begins to watch the connections that the process accepts at `port`. None, and a line that says what to
    /// do, where this machine lets nobody watch another process.
    pub fn attach(site: &Site, process: u32, port: u16) -> Option<Self> {
        let file = site.path("socket-calls");
        let mut command = Command::new("strace");
        command.args(["-f", "-yy", "-s", "0", "-e", CALLS, "-p", &process.to_string(), "-o"]).arg(&file);
        let mut strace = site.process("strace", &mut command);
        let attached = wait::until("strace to attach", || {
            let said = strace.errors();
            if said.contains("Operation not permitted") {
                return Some(false);
            }
            strace.assert_alive();
            said.contains("attached").then_some(true)
        });
        if !attached {
            eprintln!(
                "not compared with socket calls: strace may not attach here (be root, or set kernel.yama.ptrace_scope=0)"
            );
        }
        attached.then_some(Self { strace, file, port })
    }

    /// Ends, and says what was seen.
    pub fn finish(mut self) -> Moved {
        self.strace.ask_to_end();
        self.strace.wait();
        moved(&fs::read_to_string(&self.file).unwrap(), self.port)
    }
}

/// Adds up a log of strace's. Calls of several threads may stand in it in two halves.
fn moved(log: &str, port: u16) -> Moved {
    let listener = format!(":{port}]>");
    let mut begun: HashMap<&str, (&str, &str)> = HashMap::new();
    let mut clients = HashSet::new();
    let mut moved = Moved::default();
    for line in log.lines() {
        let Some((thread, event)) = line.split_once(' ') else { continue };
        let event = event.trim_start();
        let (call, arguments) = if event.starts_with("<... ") {
            let Some(half) = begun.remove(thread) else { continue };
            half
        } else {
            let Some(half) = event.split_once('(') else { continue };
            if half.0 == "close" {
                // Before the call returns its number may be another connection's.
                clients.remove(descriptor(half.1));
            }
            half
        };
        if event.ends_with("<unfinished ...>") {
            begun.insert(thread, (call, arguments));
            continue;
        }
        let Some((_, result)) = event.rsplit_once(" = ") else { continue };
        match call {
            "accept" | "accept4" => {
                let here = arguments.split(',').next().is_some_and(|socket| socket.ends_with(&listener));
                if here && !result.starts_with('-') {
                    clients.insert(descriptor(result));
                }
            }
            _ if event.contains("MSG_PEEK") || !clients.contains(descriptor(arguments)) => {}
            "read" | "readv" | "recvfrom" | "recvmsg" => moved.read += amount(result),
            "write" | "writev" | "sendto" | "sendmsg" => moved.written += amount(result),
            _ => {}
        }
    }
    moved
}

/// The number at the beginning.
fn descriptor(text: &str) -> &str {
    &text[..text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len())]
}

/// A call's result; nothing where it failed.
fn amount(result: &str) -> u64 {
    descriptor(result).parse().unwrap_or(0)
}

#[test]
fn calls_in_halves_and_numbers_used_again_are_told_apart() {
    let log = "\
7 accept4(3<TCP:[127.0.0.1:8080]>, {sa_family=AF_INET}, [128 => 16], SOCK_CLOEXEC) = 9<TCP:[127.0.0.1:8080->127.0.0.1:5]>
7 accept4(4<TCP:[127.0.0.1:9901]>, {sa_family=AF_INET}, [128 => 16], SOCK_CLOEXEC) = 8<TCP:[127.0.0.1:9901->127.0.0.1:6]>
8 recvfrom(9<TCP:[127.0.0.1:8080->127.0.0.1:5]>, \"\"..., 16384, 0, NULL, NULL) = 100
8 recvfrom(8<TCP:[127.0.0.1:9901->127.0.0.1:6]>, \"\"..., 16384, 0, NULL, NULL) = 1000
8 writev(9<TCP:[127.0.0.1:8080->127.0.0.1:5]>, [{iov_base=\"\"..., iov_len=5}], 1 <unfinished ...>
7 accept4(3<TCP:[127.0.0.1:8080]>,  <unfinished ...>
8 <... writev resumed>) = 5
8 recvfrom(9<TCP:[127.0.0.1:8080->127.0.0.1:5]>, 0x7f, 16384, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)
8 close(9<TCP:[127.0.0.1:8080->127.0.0.1:5]> <unfinished ...>
7 <... accept4 resumed>{sa_family=AF_INET}, [128 => 16], SOCK_CLOEXEC) = 9<TCP:[7]>
8 <... close resumed>) = 0
8 recvfrom(9<TCP:[7]>, \"\"..., 16384, 0, NULL, NULL) = 20
8 close(9<TCP:[7]>) = 0
8 read(9</etc/hosts>, \"\"..., 16384) = 3000
";
    assert_eq!(moved(log, 8080), Moved { read: 120, written: 5 });
}
