//! `helm` and `kubectl` as tests/tools/install.sh installs them, and what helm makes of this repository's chart.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use super::site::repository;

/// The chart.
pub const CHART: &str = "helm/weir";
/// Name of the release in tests.
pub const RELEASE: &str = "weir";
/// Its namespace.
pub const NAMESPACE: &str = "weir-system";
/// Between the values of a golden case and what is rendered of them.
const BORDER: &str = "# ---- rendered\n";

/// `helm`, which sees no cluster and none of the user's settings.
pub fn helm() -> Command {
    let mut command = Command::new(program("WEIR_HELM", "target/tools/helm"));
    let nowhere = repository("target/tools/nowhere");
    command.env("HELM_CACHE_HOME", &nowhere).env("HELM_CONFIG_HOME", &nowhere).env("HELM_DATA_HOME", &nowhere);
    command.env("KUBECONFIG", nowhere.join("kubeconfig")).env("HOME", &nowhere);
    command
}

/// `kubectl`.
pub fn kubectl() -> Command {
    Command::new(program("WEIR_KUBECTL", "target/tools/kubectl"))
}

fn program(variable: &str, installed: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| repository(installed), PathBuf::from);
    assert!(path.exists(), "there is no {}: run tests/tools/install.sh", path.display());
    path
}

/// Standard output of a command that must succeed.
pub fn out(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Everything that a command said.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a chart became.
pub struct Rendered {
    /// As helm wrote it.
    pub text: String,
    /// Its objects.
    pub objects: Vec<Value>,
}

impl Rendered {
    /// Objects of a kind.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The object of a kind and name.
    pub fn get(&self, kind: &str, name: &str) -> &Value {
        self.objects
            .iter()
            .find(|o| o["kind"] == kind && o["metadata"]["name"] == name)
            .unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    /// Every object that makes pods, with the template of its pods.
    pub fn pods(&self) -> impl Iterator<Item = (&Value, &Value)> {
        let makes = |object: &&Value| !object["spec"]["template"]["spec"].is_null();
        self.objects.iter().filter(makes).map(|object| (object, &object["spec"]["template"]))
    }

    /// A file in a ConfigMap.
    pub fn file(&self, map: &str, name: &str) -> &str {
        self.get("ConfigMap", map)["data"][name].as_str().unwrap_or_else(|| panic!("{map} has no {name}"))
    }
}

/// The chart with these values.
pub fn render(values: &str) -> Rendered {
    let text = try_render(values).unwrap_or_else(|why| panic!("{why}\nvalues:\n{values}"));
    let objects = documents(&text).iter().map(|text| parse(text)).collect();
    Rendered { text, objects }
}

/// The same, or why helm refuses.
pub fn try_render(values: &str) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), values).unwrap();
    let output = helm()
        .args(["template", RELEASE, "--namespace", NAMESPACE, "--values"])
        .arg(file.path())
        .arg(repository(CHART))
        .output()
        .unwrap();
    if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap()) } else { Err(said(&output)) }
}

/// Documents of a YAML text that say something.
pub fn documents(text: &str) -> Vec<&str> {
    let says = |document: &&str| document.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#'));
    text.strip_prefix("---\n").unwrap_or(text).split("\n---\n").filter(says).collect()
}

/// A YAML document.
pub fn parse(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

/// A golden case: what it is called, its values, and what was rendered of them.
pub struct Case {
    pub name: String,
    pub file: PathBuf,
    pub values: String,
    pub rendered: String,
}

/// Every case of `tests/golden/chart`; `default` is the first.
pub fn cases() -> Vec<Case> {
    let mut files: Vec<_> =
        fs::read_dir(repository("tests/golden/chart")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|file| (!file.ends_with("default.yaml"), file.clone()));
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let (values, rendered) = text.split_once(BORDER).unwrap_or((&text, ""));
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        Case { name, values: values.to_owned(), rendered: rendered.to_owned(), file }
    };
    files.into_iter().map(read).collect()
}

impl Case {
    /// Writes the case with what is rendered now.
    pub fn write(&self, rendered: &str) {
        fs::write(&self.file, format!("{}\n{BORDER}{rendered}", self.values.trim_end())).unwrap();
    }
}
