//! Runs a case against a data plane.

use std::collections::BTreeMap;
use std::fs;

use super::case::{Case, Certificate, Line, Send, Step};
use super::guests::{self, Guest, Running};
use super::plane::{Plane, System, wait_for_port};
use super::process::Process;
use super::requests::Requests;
use super::site::{HTTP, HTTPS, SERVER_ADMIN, Site, repository, weir};
use super::tls::Authority;
use super::wait;

/// The backends that every case has, as `base/backends.yaml` names them.
const BACKENDS: [(&str, u16); 5] = [("shop", 9001), ("canary", 9002), ("api", 9003), ("web", 9004), ("spare", 9005)];

/// Runs `tests/cases/<name>.yaml` against `plane`.
pub fn run(name: &str, plane: Plane) {
    let path = repository(format!("tests/cases/{name}.yaml"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let case = Case::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    eprintln!("{name} at {plane:?}: {}", case.about.trim());
    let mut run = Run::start(&case, plane);
    for (n, line) in case.steps.iter().enumerate() {
        run.system.assert_alive();
        let short;
        let step = match line {
            Line::Long(step) => step,
            Line::Short(text) => {
                short = Step { send: Some(text.clone()), ..Step::default() };
                &short
            }
        };
        if step.only.as_deref().is_some_and(|only| (only == "envoy") != plane.is_envoy()) {
            continue;
        }
        run.at = format!("{name} at {plane:?}, step {}", n + 1);
        run.requests.at(run.at.clone());
        match &step.send {
            Some(text) => run.requests.send(step, &Send::parse(text).unwrap()),
            None => run.act(step),
        }
    }
    run.system.assert_alive();
    run.system.terminate();
}

struct Run {
    at: String,
    system: System,
    // They free their ports before the site's address may be another's.
    _guests: Vec<Running>,
    site: Site,
    requests: Requests,
    declared: BTreeMap<String, Certificate>,
    backends: BTreeMap<String, Process>,
}

impl Run {
    fn start(case: &Case, plane: Plane) -> Self {
        let site = Site::new();
        for entry in fs::read_dir(repository("tests/cases/base")).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            site.write(&file, &fs::read_to_string(&path).unwrap());
        }
        for (file, text) in &case.manifests {
            site.write(file, text);
        }
        let mut requests = Requests::new(site.ip(), plane, Authority::new());
        for (file, certificate) in &case.certificates {
            issue(&site, &mut requests, file, certificate);
        }
        for (file, map) in &case.authorities {
            site.write(file, &requests.authority().config_map(map));
        }
        let start = |(name, guest): (&String, &Guest)| guests::start(site.ip(), name, guest, requests.authority());
        let guests = case.guests.iter().map(start).collect();
        let backends = BACKENDS.iter().map(|(name, port)| (name.to_string(), site.backend(name, *port))).collect();
        let system = System::start(&site, plane);
        for port in if case.certificates.is_empty() { &[HTTP][..] } else { &[HTTP, HTTPS] } {
            wait_for_port(&site, *port);
        }
        Self {
            at: String::new(),
            system,
            _guests: guests,
            site,
            requests,
            declared: case.certificates.clone(),
            backends,
        }
    }

    fn act(&mut self, step: &Step) {
        for (file, text) in &step.write {
            self.site.write(file, text);
        }
        if let Some(edit) = &step.edit {
            let before = self.site.read(&edit.file);
            let after = before.replace(&edit.from, &edit.to);
            assert_ne!(before, after, "{}: `{}` is not in {}", self.at, edit.from, edit.file);
            self.site.write(&edit.file, &after);
        }
        if let Some(file) = &step.remove {
            self.site.remove(file);
        }
        if let Some(file) = &step.renew {
            issue(&self.site, &mut self.requests, file, &self.declared[file]);
        }
        match step.server.as_deref() {
            Some("kill") => self.system.kill_server(),
            Some("start") => self.system.start_server(&self.site),
            Some(other) => panic!("{}: server: {other}", self.at),
            None => {}
        }
        match step.proxy.as_deref() {
            Some("kill") => {
                self.system.wait_for_store(&self.site);
                self.system.kill_proxy();
            }
            Some("start") => {
                self.system.start_proxy(&self.site);
                wait_for_port(&self.site, HTTP);
            }
            Some(other) => panic!("{}: proxy: {other}", self.at),
            None => {}
        }
        for (name, port) in &step.backend {
            self.backends.insert(name.clone(), self.site.backend(name, *port));
        }
        if let Some(name) = &step.end {
            self.backends.remove(name).unwrap_or_else(|| panic!("{}: no backend {name}", self.at)).kill();
        }
        if let Some(text) = &step.check {
            let output = weir().arg("check").arg(self.site.manifests()).output().unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let code = if text.is_empty() { 0 } else { 1 };
            assert_eq!(output.status.code(), Some(code), "{}: `weir check` says:\n{said}", self.at);
            assert!(said.contains(text.as_str()), "{}: `weir check` does not say `{text}` but:\n{said}", self.at);
        }
        if !step.status.is_empty() {
            let server = format!("http://{}:{SERVER_ADMIN}", self.site.ip());
            wait::until_ok(&format!("{}: `weir status`", self.at), || {
                let output = weir().args(["status", "--server", &server]).output().unwrap();
                let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                match step.status.iter().find(|text| !said.contains(text.as_str())) {
                    Some(text) => Err(format!("`{text}` is not in:\n{said}")),
                    None => Ok(()),
                }
            });
        }
    }
}

fn issue(site: &Site, requests: &mut Requests, file: &str, certificate: &Certificate) {
    let names: Vec<&str> = certificate.names.iter().map(String::as_str).collect();
    let pair = requests.authority().issue(&names);
    let (namespace, name) = certificate.secret.split_once('/').expect("namespace/name");
    site.write(file, &pair.secret(namespace, name));
    requests.issued(file, pair);
}
