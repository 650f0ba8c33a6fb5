//! A process that counts is killed, and what it counted is compared with what its clients got: bytes
//! that came through a socket whose other end is here.

use std::env;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weir_config::testing::soak;

use super::super::file::{self, Old};
use super::super::{Meter, Metric, TenantId};
use super::{in_old, only};

/// Where the child counts; what it does.
const DIR: &str = "WEIR_METER_TEST_DIR";
const DO: &str = "WEIR_METER_TEST_DO";

const BYTES: Metric = Metric::ResponseBytes;

/// What a client of worker `worker` gets with its `n`th response.
fn size(worker: usize, n: u64) -> u64 {
    (n * 7919 + worker as u64 * 31) % 3000 + 1
}

/// This test program again, as the process that is killed.
struct Counting {
    child: Child,
    dir: tempfile::TempDir,
    clients: Vec<UnixStream>,
}

impl Counting {
    /// Starts it, with so many clients.
    fn start(what: &str, clients: usize) -> Self {
        Self::run(Command::new(env::current_exe().unwrap()), what, clients)
    }

    fn run(mut command: Command, what: &str, clients: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("clients")).unwrap();
        command.args(["meter::tests::kill::the_process_that_is_killed", "--exact", "--ignored", "--nocapture"]);
        let child = command.env(DIR, dir.path()).env(DO, what).spawn().unwrap();
        let mut counting = Self { child, dir, clients: Vec::new() };
        listener.set_nonblocking(true).unwrap();
        while counting.clients.len() < clients {
            match listener.accept() {
                Ok((client, _)) => {
                    client.set_nonblocking(false).unwrap();
                    counting.clients.push(client);
                }
                Err(_) => {
                    assert!(counting.child.try_wait().unwrap().is_none(), "it ended by itself");
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
        }
        counting
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for so many bytes of the first client, then kills. Gives what each client got, and what the
    /// next start finds.
    fn kill_after(mut self, bytes: usize) -> (Vec<u64>, Old) {
        let mut got = vec![0; self.clients.len()];
        std::thread::scope(|scope| {
            let mut readers = Vec::new();
            let (first, others) = self.clients.split_first_mut().unwrap();
            for client in others {
                readers.push(scope.spawn(|| client.read_to_end(&mut Vec::new()).unwrap() as u64));
            }
            first.read_exact(&mut vec![0; bytes]).unwrap();
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            got[0] = bytes as u64 + first.read_to_end(&mut Vec::new()).unwrap() as u64;
            for (got, reader) in got[1..].iter_mut().zip(readers) {
                *got = reader.join().unwrap();
            }
        });
        let found = file::read(&only(&counters(self.dir.path()))).unwrap();
        assert!(found.believable);
        (got, found)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.kill();
    }
}

fn counters(dir: &Path) -> PathBuf {
    dir.join("usage")
}

#[test]
#[ignore = "the others start it"]
fn the_process_that_is_killed() {
    let (Ok(dir), Ok(what)) = (env::var(DIR), env::var(DO)) else { return };
    let usage = counters(dir.as_ref());
    std::fs::create_dir(&usage).unwrap();
    let meter = Meter::create(&usage, rand::random(), 2).unwrap();
    let client = || UnixStream::connect(Path::new(&dir).join("clients")).unwrap();
    match what.as_str() {
        "serve" => std::thread::scope(|scope| {
            let clients = [client(), client()];
            for (worker, client) in clients.into_iter().enumerate() {
                let meter = &meter;
                scope.spawn(move || serve(meter, worker, client));
            }
        }),
        "churn" => churn(&meter, client()),
        "fill" => fill(&meter, client()),
        stop => one_write(&meter, stop, client()),
    }
}

/// One response after the other, to two tenants in turn. Each is announced, and its request counted before.
fn serve(meter: &Meter, worker: usize, mut client: UnixStream) {
    let tenants = ["acme", "globex"].map(|name| meter.tenant(name));
    let bytes = [0; 3000];
    for n in 0.. {
        let tenant = tenants[n as usize % 2].id();
        let size = size(worker, n);
        meter.add(worker, tenant, Metric::Requests, 1);
        let writing = meter.begin_write(worker, tenant, BYTES, size);
        client.write_all(&bytes[..size as usize]).unwrap();
        writing.done(size);
    }
}

/// Stops amid one write, or after it.
fn one_write(meter: &Meter, stop: &str, mut client: UnixStream) {
    let tenant = meter.tenant("acme");
    meter.begin_write(1, tenant.id(), BYTES, 30).done(30);
    client.write_all(b"x").unwrap();
    let writing = meter.begin_write(1, tenant.id(), BYTES, 100);
    match stop {
        "announced" => client.write_all(b"x").unwrap(),
        "partly taken" => {
            writing.done(60);
            client.write_all(b"x").unwrap();
        }
        "refused" => {
            drop(writing);
            client.write_all(b"x").unwrap();
        }
        other => panic!("{other}"),
    }
    loop {
        std::thread::park();
    }
}

/// One tenant after the other, each counted by its own number, logged and freed.
fn churn(meter: &Meter, mut client: UnixStream) {
    for n in 2u64.. {
        let tenant = meter.tenant(&format!("t{n}"));
        for metric in [Metric::Requests, Metric::TunnelResponseBytes] {
            meter.add(n as usize % 2, tenant.id(), metric, n);
        }
        drop(tenant);
        client.write_all(b"x").unwrap();
        for counted in meter.changed() {
            meter.logged(counted.place, counted.incarnation, &counted.total);
            assert!(meter.free(counted.place, counted.incarnation));
        }
    }
}

/// More tenants than the disk has space for.
fn fill(meter: &Meter, mut client: UnixStream) {
    let tenants: Vec<_> = (0..5000).map(|n| meter.tenant(&format!("t{n}"))).collect();
    tenants.iter().for_each(|tenant| meter.add(0, tenant.id(), Metric::Requests, 1));
    let total: u64 = tenants.iter().map(|tenant| meter.total(tenant.id(), Metric::Requests)).sum();
    assert_eq!(total, 5000, "all are counted");
    client.write_all(&(meter.volatile() as u64).to_le_bytes()).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn an_announced_write_outlives_the_process() {
    for (stop, total) in [("announced", 130), ("partly taken", 90), ("refused", 30)] {
        let (_, found) = Counting::start(stop, 1).kill_after(2);
        assert_eq!(in_old(&found, "acme", BYTES), total, "{stop}");
    }
}

/// Whatever moment the kill comes at: what a client got whole is charged, and at most the write that was
/// announced is charged beyond it.
#[test]
fn soak_a_kill_loses_nothing_that_a_client_got() {
    soak::seeds(|seed| {
        let bytes = StdRng::seed_from_u64(seed).random_range(1..2_000_000);
        let (got, found) = Counting::start("serve", 2).kill_after(bytes);
        // The sockets' order is that of their connects, which may be either worker's.
        let fits = |order: [usize; 2]| {
            let ends = [0, 1].map(|worker| ends(worker, got[order[worker]]));
            let any = ends[0].iter().flat_map(|a| ends[1].iter().map(move |b| [*a, *b]));
            any.into_iter().any(|responses| is_found(&found, responses))
        };
        assert!(fits([0, 1]) || fits([1, 0]), "{got:?} bytes came, {found:?}");
    });
}

/// How many responses may have been charged where so many bytes came: those that came, cut or whole, or
/// one more that was announced.
fn ends(worker: usize, got: u64) -> Vec<u64> {
    let (mut n, mut sum) = (0, 0);
    while sum < got {
        sum += size(worker, n);
        n += 1;
    }
    if sum == got { vec![n, n + 1] } else { vec![n] }
}

/// Whether so many responses of each worker are what was found, and their requests.
fn is_found(found: &Old, responses: [u64; 2]) -> bool {
    ["acme", "globex"].iter().enumerate().all(|(tenant, name)| {
        let of =
            |worker: usize| (0..responses[worker]).filter(|n| *n as usize % 2 == tenant).map(move |n| size(worker, n));
        let bytes: u64 = of(0).chain(of(1)).sum();
        let least = (of(0).count() + of(1).count()) as u64;
        // Before the next response is announced, its request may be counted.
        let requests = in_old(found, name, Metric::Requests);
        in_old(found, name, BYTES) == bytes && (least..=least + 2).contains(&requests)
    })
}

/// Places are reused all the time: whose a place is, and what it counted, never fall apart.
#[test]
fn soak_a_kill_amid_a_reuse_charges_nobody_for_another() {
    soak::seeds(|seed| {
        let rounds = StdRng::seed_from_u64(seed).random_range(1..3000);
        let (_, found) = Counting::start("churn", 1).kill_after(rounds);
        for counted in found.counted.iter().filter(|counted| counted.place != TenantId::NONE) {
            let n = counted.incarnation;
            assert_eq!(*counted.tenant, format!("t{n}"));
            for (metric, total) in counted.total.iter() {
                let used = matches!(metric, Metric::Requests | Metric::TunnelResponseBytes);
                assert!(total == 0 || used && total == n, "{counted:?}");
                assert!(counted.logged[metric] <= n, "{counted:?}");
            }
        }
    });
}

/// A full disk is no SIGBUS: who has no space there is counted all the same, and is told of.
#[test]
fn without_space_on_disk_counting_goes_on_and_what_has_space_is_found() {
    let mut limited = Command::new("sh");
    // 200 or 400 KiB a file, as the shell takes it: space for one or two chunks.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 500; exec \"$0\" \"$@\""]).arg(env::current_exe().unwrap());
    let mut counting = Counting::run(limited, "fill", 1);
    let mut volatile = [0; 8];
    counting.clients[0].read_exact(&mut volatile).unwrap();
    counting.kill();
    let found = file::read(&only(&counters(counting.dir.path()))).unwrap();
    let durable = found.counted.len();
    assert_eq!(durable as u64 + u64::from_le_bytes(volatile), 5001, "and nobody");
    assert!(durable > 0 && durable.is_multiple_of(1024), "{durable}");
    assert!(found.counted.iter().skip(1).all(|counted| counted.total[Metric::Requests] == 1));
}
