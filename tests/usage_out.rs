//! How usage is given out by real processes: `weir usage`, HTTP, the audit, and a billing system that has
//! mishaps while the server is killed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use weir_config::bootstrap::Retention;
use weir_config::usage::{Metric, Units};
use weir_xds_server::testing::receiver::{Manners, Receiver};
use weir_xds_server::usage::store::{Location, Store};
use weir_xds_server::usage::{Batch, Epoch, Scope};

use crate::support::process::Process;
use crate::support::site::{SERVER_ADMIN, Site, XDS, weir};
use crate::support::tls::Authority;
use crate::support::wait;

/// Amounts by tenant.
type Sums = BTreeMap<String, Units>;

/// A place with a server's settings, and a store that this test writes to as a server would.
struct Place {
    site: Site,
    store: Store,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    fn new(events: Option<&Receiver>) -> Self {
        let site = Site::new();
        let events = events.map(|receiver| {
            fs::write(site.path("token"), format!("{TOKEN}\n")).unwrap();
            format!(
                "  events: {{url: \"{}\", batchSize: 5, interval: 100ms, source: test, tokenFile: {}}}\n",
                receiver.url(),
                site.path("token").display()
            )
        });
        let settings = format!(
            "source: {{directory: {manifests}}}\nstateDir: {state}\nxds: {{address: \"{ip}:{XDS}\"}}\n\
             admin: {{address: \"{ip}:{SERVER_ADMIN}\"}}\nusage:\n  prometheusTenants: 1\n{events}",
            manifests = site.manifests().display(),
            state = site.path("state").display(),
            ip = site.ip(),
            events = events.unwrap_or_default(),
        );
        fs::write(site.path("server.yaml"), settings).unwrap();
        fs::create_dir(site.path("state")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let store = {
            let _inside = runtime.enter();
            Store::at(&Location::Sqlite(site.path("state/usage.db")), &Retention::default()).unwrap()
        };
        Self { site, store, runtime }
    }

    fn server(&self) -> Process {
        self.server_as(&mut weir())
    }

    /// The same, with what `weir` has in its environment.
    fn server_as(&self, weir: &mut Command) -> Process {
        let process = self.site.process("server", weir.args(["server", "--config"]).arg(self.site.path("server.yaml")));
        wait::until("the server to answer", || self.get("/ready").map(|_| ()));
        process
    }

    /// Stores one window of a few tenants and of none.
    fn window(&self, epoch: u8, sequence: u64, started_ms: i64, sums: &mut Sums) {
        let usage: Sums = ["acme", "globex", "initech", "-"]
            .into_iter()
            .zip(1u64..)
            .map(|(tenant, n)| (tenant.to_owned(), Units(std::array::from_fn(|m| n * sequence + m as u64))))
            .collect();
        for (tenant, units) in &usage {
            sums.entry(tenant.clone()).or_default().add(units);
        }
        let batch = Batch {
            epoch: Epoch([epoch; 16]),
            first_sequence: sequence,
            sequence,
            proxy: "edge-0".into(),
            started_ms,
            ended_ms: started_ms + 10_000,
            last: false,
            lost_open_window: false,
            usage,
        };
        self.runtime.block_on(self.store.apply(&batch, &Scope::Everything, now_ms())).unwrap();
    }

    fn usage(&self, args: &[&str]) -> Output {
        weir().arg("usage").args(args).output().unwrap()
    }

    /// Sums of what `weir usage` says as CSV, by the state directory and by HTTP, which must be the same.
    fn sums(&self, args: &[&str]) -> Sums {
        let state = self.site.path("state").display().to_string();
        let server = format!("http://{}:{SERVER_ADMIN}", self.site.ip());
        let [local, remote] = [["--state-dir", &state], ["--server", &server]].map(|place| {
            let output = self.usage(&[&place[..], &["--format", "csv"], args].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        });
        assert_eq!(local, remote);
        let mut lines = local.lines();
        assert_eq!(lines.next(), Some("timestamp,tenant,metric,units"));
        let mut sums = Sums::new();
        for line in lines {
            let fields: Vec<_> = line.split(',').collect();
            let metric = Metric::ALL.into_iter().find(|metric| metric.name() == fields[2]).unwrap();
            sums.entry(fields[1].to_owned()).or_default()[metric] += fields[3].parse::<u64>().unwrap();
        }
        sums
    }

    /// Waits until the billing system has everything.
    fn all_exported(&self) {
        wait::until("everything to be exported", || {
            self.get("/stats/prometheus")?
                .lines()
                .any(|line| line == "weir_usage_export_pending_batches 0")
                .then_some(())
        });
    }

    /// A page of the server, if it answers 200.
    fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://{}:{SERVER_ADMIN}{path}", self.site.ip());
        ureq::get(&url).call().ok()?.body_mut().read_to_string().ok()
    }

    /// Text and verdict of the audit of the state directory.
    fn audit(&self) -> (String, Option<i32>) {
        let state = self.site.path("state").display().to_string();
        let output = self.usage(&["audit", "--state-dir", &state]);
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    }

    fn sql(&self, statement: &'static str) {
        self.runtime.block_on(self.store.execute(statement)).unwrap();
    }
}

/// What the billing system wants to see.
const TOKEN: &str = "a-token-that-nobody-may-read";

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn a_billing_system_has_what_is_stored_though_the_server_is_killed() {
    let receiver = Receiver::start(Manners { well_one_in: 2, refuses: Some("initech".into()), ..Manners::default() });
    let place = Place::new(Some(&receiver));
    let begin = now_ms() - 3 * 3_600_000;
    let mut stored = Sums::new();
    for round in 0..4u8 {
        let mut server = place.server();
        let before = receiver.requests();
        for sequence in 1..=20 {
            place.window(round, sequence, begin + i64::from(round) * 1_800_000 + sequence as i64 * 10_000, &mut stored);
        }
        wait::until("events to be sent", || (receiver.requests() > before + 2).then_some(()));
        server.kill();
    }
    receiver.behave(Manners { refuses: Some("initech".into()), ..Manners::default() });
    let mut server = place.server();
    place.all_exported();
    assert_eq!(receiver.problems(), Vec::<String>::new());
    assert_eq!(place.sums(&[]), stored);
    // Nobody is billed for traffic of no tenant; what is refused is named by the audit.
    stored.remove("-");
    stored.remove("initech");
    assert_eq!(receiver.sums(), stored);
    let (text, code) = place.audit();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("refused the event") && text.contains("tenant initech") && !text.contains("acme"), "{text}");
    assert!(server.terminate().success());
}

#[test]
fn a_billing_system_gets_usage_and_the_token_only_if_its_certificate_is_trusted() {
    let (trusted, stranger) = (Authority::new(), Authority::new());
    let manners = Manners { token: Some(TOKEN.into()), ..Manners::default() };
    let receiver = Receiver::start_tls(manners, trusted.issue(&["127.0.0.1"]).server());
    let place = Place::new(Some(&receiver));
    let mut stored = Sums::new();
    for sequence in 1..=3 {
        place.window(1, sequence, now_ms() - 60_000, &mut stored);
    }
    let [file, new] = ["trusted.pem", "new.pem"].map(|name| place.site.path(name));
    fs::write(&file, stranger.pem()).unwrap();
    let server =
        place.server_as(weir().env("SSL_CERT_FILE", &file).env_remove("SSL_CERT_DIR").env("WEIR_LOG", "trace"));
    wait::until("two tries to be given up", || (receiver.handshakes_refused() >= 2).then_some(()));
    assert_eq!(receiver.requests(), 0, "something was sent to somebody who is not trusted");
    // Mended while the server runs.
    fs::write(&new, trusted.pem()).unwrap();
    fs::rename(&new, &file).unwrap();
    place.all_exported();
    stored.remove("-");
    assert_eq!(receiver.problems(), Vec::<String>::new());
    assert_eq!(receiver.sums(), stored);
    let log = server.errors() + &server.output();
    let refused = |line: &str| line.contains("did not take events") && line.contains("invalid peer certificate");
    assert!(log.lines().any(refused), "the log does not say why");
    // The HTTP client is heard, but not the bytes that it sends, which it would print sixteen a line.
    assert!(log.contains("Call<SendRequest>") && !log.contains("POST./api"), "bytes of a request are in the log");
    assert!(!log.contains(TOKEN), "the token is in the log");
}

#[test]
fn a_reader_that_goes_away_ends_weir_usage_quietly() {
    let place = Place::new(None);
    let mut sums = Sums::new();
    for sequence in 1..=150 {
        place.window(1, sequence, now_ms() - 60_000 - sequence as i64, &mut sums);
    }
    let state = place.site.path("state").display().to_string();
    let command = |args: &[&str]| {
        let mut command = weir();
        command.arg("usage").args(args).args(["--state-dir", &state]).stdin(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let quiet = |what: &str, output: Output| {
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""), "{what}");
    };
    // Nobody reads, from the beginning.
    for args in [
        &[][..],
        &["--by", "window", "--format", "csv"],
        &["--format", "jsonl"],
        &["--follow"],
        &["--follow", "--format", "csv"],
        &["audit"],
        &["audit", "--output", "json"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        quiet(&args.join(" "), command(args).stdout(writer).spawn().unwrap().wait_with_output().unwrap());
    }
    // Somebody reads one line, of more than a pipe holds.
    let mut child = command(&["--by", "window", "--format", "csv"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "timestamp,tenant,metric,units\n");
    quiet("head -1", child.wait_with_output().unwrap());
}

#[test]
fn usage_is_the_same_by_every_way_and_every_grouping() {
    let place = Place::new(None);
    let _server = place.server();
    let hour = now_ms() / 3_600_000 * 3_600_000 - 2 * 3_600_000;
    let mut sums = Sums::new();
    let mut first = Sums::new();
    for sequence in 1..=30 {
        let mut one = Sums::new();
        place.window(1, sequence, hour + sequence as i64 * 200_000, &mut one);
        for (tenant, units) in one {
            // The cut below lies within an hour, between two windows.
            if sequence <= 7 {
                first.entry(tenant.clone()).or_default().add(&units);
            }
            sums.entry(tenant).or_default().add(&units);
        }
    }
    for by in ["total", "hour", "day", "window"] {
        assert_eq!(place.sums(&["--by", by]), sums, "{by}");
    }
    let cut = weir_xds_server::usage::span::show(hour + 7 * 200_000 + 1);
    assert_eq!(place.sums(&["--until", &cut, "--by", "hour"]), first);
    let only = place.sums(&["--tenant", "acme", "--by", "window"]);
    assert_eq!(only, [("acme".to_owned(), sums["acme"])].into());

    let state = place.site.path("state").display().to_string();
    let table = String::from_utf8(place.usage(&["--state-dir", &state]).stdout).unwrap();
    assert!(table.starts_with("TENANT") && table.contains("TOTAL") && table.contains("of no tenant"), "{table}");
    let json: serde_json::Value = serde_json::from_str(&place.get("/v1/usage?by=hour&tenant=globex").unwrap()).unwrap();
    let requests = json["rows"].as_array().unwrap().iter().filter(|row| row["metric"] == "requests");
    assert_eq!(requests.map(|row| row["units"].as_u64().unwrap()).sum::<u64>(), sums["globex"][Metric::Requests]);
    for wrong in
        ["/v1/usage?by=year", "/v1/usage?since=soon", "/v1/usage?form=csv", "/v1/usage?tenant=", "/v1/usage/audit?by=x"]
    {
        assert_eq!(place.get(wrong), None, "{wrong} was answered");
    }
    for (args, code) in
        [(&["--since", "soon"][..], 2), (&["--since", "1h", "--until", "2h"], 2), (&["--state-dir", "/nowhere"], 1)]
    {
        assert_eq!(place.usage(args).status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn the_audit_names_every_kind_of_gap() {
    let place = Place::new(None);
    let begin = now_ms() - 60_000;
    let mut sums = Sums::new();
    for sequence in 1..=6 {
        place.window(1, sequence, begin, &mut sums);
    }
    let (text, code) = place.audit();
    assert_eq!((code, text.ends_with("no gap\n")), (Some(0), true), "{text}");

    place.sql("UPDATE usage_hours SET requests = requests - 1 WHERE tenant = 'globex'");
    let (text, code) = place.audit();
    assert_eq!(code, Some(1));
    assert!(text.contains("tenant globex, hour of") && text.contains("requests 1"), "{text}");
    place.sql("UPDATE usage_hours SET requests = requests + 1 WHERE tenant = 'globex'");

    place.sql("DELETE FROM batches WHERE sequence IN (1, 4)");
    let (text, code) = place.audit();
    assert_eq!(code, Some(1));
    for gap in ["not stored, though later ones are: sequence 4 of epoch 01010101", "sequence 1 of epoch", "of edge-0"] {
        assert!(text.contains(gap), "`{gap}` is not in\n{text}");
    }
}
