//! `weir explain` by example: a file of `tests/explain` holds manifests, and what is said of requests.
//! A directory and a running server must say the same, and what is sent for real must be answered as it
//! was said. `WEIR_REGENERATE=1` writes the texts anew; the review is reading the difference.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::support::guests::{self, Guest};
use crate::support::http::{self, Request, Response, Target};
use crate::support::plane::{Plane, System, wait_for_port};
use crate::support::site::{HTTP, HTTPS, SERVER_ADMIN, Site, repository, weir};
use crate::support::tls::Authority;
use crate::support::wait;

/// Before each request that is asked about, in a golden file: the rest of the line are the arguments.
const ASK: &str = "\n# ---- weir explain ";

/// A golden file and a running site of it.
struct Case {
    file: String,
    site: Site,
    authority: Authority,
    asks: Vec<String>,
    manifests: String,
    expected: String,
}

impl Case {
    fn read(name: &str) -> Self {
        let file = format!("tests/explain/{name}.golden");
        let expected = fs::read_to_string(repository(&file)).unwrap();
        let mut parts = expected.split(ASK);
        let manifests = parts.next().unwrap().to_owned();
        let asks: Vec<String> = parts.map(|part| part.lines().next().unwrap().to_owned()).collect();
        let (site, authority) = (Site::new(), Authority::new());
        for base in ["backends", "platform"] {
            let text = fs::read_to_string(repository(format!("tests/cases/base/{base}.yaml"))).unwrap();
            site.write(&format!("{base}.yaml"), &text);
        }
        site.write("case.yaml", &manifests);
        site.write("shop-cert.yaml", &authority.issue(&["shop.acme.test"]).secret("weir-system", "shop"));
        site.write("wild-cert.yaml", &authority.issue(&["*.globex.test"]).secret("weir-system", "wild"));
        site.write("authority.yaml", &authority.config_map("acme/authority"));
        Self { file, site, authority, asks, manifests, expected }
    }

    /// `weir explain`, against the directory or the server.
    fn explain(&self, ask: &str, server: bool, json: bool) -> Output {
        let mut command = weir();
        let ask = ask.replace("${IP}", &self.site.ip().to_string());
        command.arg("explain").args(ask.split_whitespace()).env("NO_COLOR", "1");
        match server {
            true => command.args(["--server", &format!("http://{}:{SERVER_ADMIN}", self.site.ip())]),
            false => command.arg("--dir").arg(self.site.manifests()),
        };
        if json {
            command.args(["--output", "json"]);
        }
        command.output().unwrap()
    }

    fn text(&self, output: &Output) -> String {
        let text = String::from_utf8_lossy(&output.stdout).replace(&self.site.ip().to_string(), "${IP}");
        format!("{text}{}# exit {}\n", String::from_utf8_lossy(&output.stderr), output.status.code().unwrap())
    }

    /// What really answers; none where an HTTP/1.1 backend is not who does. Connections carry a request as any bytes.
    fn send(&self, ask: &str) -> Option<std::io::Result<Response>> {
        let ask = &ask.replace("${IP}", &self.site.ip().to_string());
        let asks_http = !ask.starts_with("udp:") && !ask.starts_with("grpc");
        asks_http.then(|| self.send_request(ask))
    }

    fn send_request(&self, ask: &str) -> std::io::Result<Response> {
        let mut request = Request { method: "GET".into(), ..Request::default() };
        let mut words = ask.split_whitespace();
        let url = words.next().unwrap();
        while let Some(word) = words.next() {
            let value = words.next().unwrap();
            match (word, value.split_once(':')) {
                ("-X", _) => request.method = value.into(),
                ("-H", Some((name, value))) => request.headers.push((name.into(), value.into())),
                _ => {}
            }
        }
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = authority.split_once(':').unwrap();
        (request.host, request.target) = (authority.to_owned(), format!("/{path}"));
        let port = port.parse().unwrap();
        let target = match scheme {
            "https" | "tls" => Target::tls(self.site.ip(), port, host, &self.authority),
            _ => Target::plain(self.site.ip(), port),
        };
        http::once(&target, &request)
    }
}

/// What is wrong between what was said and what answered, if anything is.
fn contradiction(said: &Value, answered: Option<&std::io::Result<Response>>) -> Option<String> {
    let answered = answered?;
    let kind = said["result"]["kind"].as_str().unwrap();
    let good: BTreeSet<String> = said["backends"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|backend| backend["status"].is_null() && backend["closed"] == false && backend["weight"] != 0)
        .map(|backend| {
            let service = backend["service"].as_str().unwrap();
            service.split(['/', ':']).nth(1).unwrap().to_owned()
        })
        .collect();
    let fault = |text: String| Some(format!("{text}, and it was said: {}", said["result"]));
    match (kind, answered) {
        ("noConnection" | "closed", Err(_)) => None,
        (_, Err(error)) => fault(format!("no answer: {error}")),
        ("forwarded", Ok(response)) => match response.backend() {
            Some(name) if good.contains(&name) => None,
            other => fault(format!("{} from {other:?}", response.status)),
        },
        ("partlyForwarded", Ok(response)) => match response.backend() {
            Some(name) if !good.contains(&name) => fault(format!("{name} answered")),
            None if response.status != 500 && response.status != 503 => fault(response.status.to_string()),
            _ => None,
        },
        (_, Ok(response)) if said["result"]["status"] == response.status => None,
        (_, Ok(response)) => fault(response.status.to_string()),
    }
}

/// Every field by its path; `[]` for the items of a list.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                found.insert(path.clone());
                fields(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, &format!("{path}[]"), found)),
        _ => {}
    }
}

fn run(name: &str, backends: &[(&str, u16)]) {
    let case = Case::read(name);
    let _backends: Vec<_> = backends.iter().map(|(name, port)| case.site.backend(name, *port)).collect();
    let secure =
        Guest { kind: guests::Kind::Https, port: 9111, names: vec!["inner.acme.test".into()], stranger: false };
    let _secure = guests::start(case.site.ip(), "secure", &secure, &case.authority);
    let system = System::start(&case.site, Plane::Up);
    for port in [HTTP, HTTPS] {
        wait_for_port(&case.site, port);
    }
    let documented = documented();
    let mut said = case.manifests.clone();
    for ask in &case.asks {
        let here = case.explain(ask, false, false);
        said += &format!("{ASK}{ask}\n{}", case.text(&here));
        // The server's first set of objects is in when the proxy's ports are open.
        assert_eq!(
            case.text(&case.explain(ask, true, false)),
            case.text(&here),
            "{ask}: the server says another thing"
        );
        let json = case.explain(ask, true, true);
        let value: Value = serde_json::from_slice(&json.stdout).unwrap_or_else(|e| panic!("{ask}: {e}"));
        let mut found = BTreeSet::new();
        fields(&value, "", &mut found);
        let unknown: Vec<_> = found.difference(&documented).collect();
        assert!(unknown.is_empty(), "{ask}: docs/explain.md does not name {unknown:?}");
        let well = value["well"].as_bool().unwrap();
        assert_eq!(here.status.code(), Some(if well { 0 } else { 1 }), "{ask}");
        // A stranger's body of a test may pass on the way: the proxy warms what is new.
        wait::until_ok(&format!("{ask}: to be answered as was said"), || {
            match contradiction(&value, case.send(ask).as_ref()) {
                Some(fault) => Err(fault),
                None => Ok(()),
            }
        });
    }
    system.terminate();
    if std::env::var_os("WEIR_REGENERATE").is_some() {
        fs::write(repository(&case.file), said).unwrap();
    } else {
        let different = said.lines().zip(case.expected.lines()).find(|(now, before)| now != before);
        assert!(
            said == case.expected,
            "{} says another thing; WEIR_REGENERATE=1 writes it anew: {different:?}",
            case.file
        );
    }
}

/// The fields that docs/explain.md names, each at the begin of a table's row.
fn documented() -> BTreeSet<String> {
    let text = fs::read_to_string(repository("docs/explain.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(field, _)| field.to_owned()).collect()
}

#[test]
fn requests_are_explained_as_they_are_answered() {
    run("requests", &[("shop", 9001), ("canary", 9002), ("api", 9003), ("web", 9004)]);
}

#[test]
fn what_is_wrong_is_explained_as_it_is_answered() {
    run("troubles", &[("shop", 9001), ("web", 9004)]);
}

#[test]
fn connections_and_calls_are_explained_as_they_are_passed_on() {
    run("connections", &[("shop", 9001), ("canary", 9002), ("api", 9003), ("web", 9004)]);
}

#[test]
fn policies_are_explained_as_they_hold() {
    run("policies", &[("shop", 9001), ("canary", 9002), ("api", 9003)]);
}

#[test]
fn wrong_usage_is_told_apart() {
    for args in [&["ftp://h/"][..], &["http://h/", "-H", "x"], &["http://u@h/"], &["http://h/", "--gateway", "x"], &[]]
    {
        let output = weir().arg("explain").args(args).args(["--dir", "config/examples/quickstart"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
