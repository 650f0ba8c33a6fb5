//! A pod's container as a kubelet would start it, for want of a container engine: a root with nothing but what the
//! image has, read-only, the pod's volumes in it, its user, no capability and no new privilege.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::helm::{Rendered, out};
use crate::support::process::Process;
use crate::support::site::Site;

/// Mounts the root and its volumes, `FROM TO` each a line of the standard input's file, and becomes the program.
const ENTER: &str = r#"
root=$1 user=$2 volumes=$3; shift 3
mount --bind "$root" "$root"
while read -r from to; do mount --bind "$from" "$root$to"; done < "$volumes"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user:$user" --groups="$user" "$root" "$@"
"#;
/// Where a service account's token is mounted.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What a kubelet asks the API server for.
pub struct Cluster<'a> {
    /// The chart's objects.
    pub rendered: &'a Rendered,
    /// A token of a service account for an audience; none: the API server's own.
    pub token: &'a dyn Fn(&str, Option<&str>) -> String,
    /// Certificate authority of the API server, PEM.
    pub authority: String,
    /// Lines of `/etc/hosts`, instead of a DNS server.
    pub hosts: String,
    /// More of the environment.
    pub environment: Vec<(&'a str, String)>,
}

/// The one container of a pod, ready to start; again and again, on the same volumes.
pub struct Container {
    name: String,
    root: PathBuf,
    user: u32,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Bound into the root: what is there, and where it goes.
    bound: Vec<(PathBuf, String)>,
}

impl Container {
    /// Lays out the root of the pod that `owner` (a Deployment, a StatefulSet) makes.
    pub fn new(site: &Site, cluster: &Cluster<'_>, owner: &Value) -> Self {
        let pod = &owner["spec"]["template"]["spec"];
        let (name, container) = (text(&owner["metadata"]["name"]), &pod["containers"][0]);
        let user = u32::try_from(pod["securityContext"]["runAsUser"].as_u64().unwrap()).unwrap();
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        let environment = list(&container["env"]).iter().map(|variable| {
            let value = variable["value"].as_str().unwrap_or(name);
            (text(&variable["name"]).to_owned(), value.to_owned())
        });
        let more = cluster.environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let mut this = Self {
            name: name.into(),
            root: site.path(&format!("{name}.root")),
            user,
            arguments: list(&container["args"]).iter().map(|argument| text(argument).to_owned()).collect(),
            environment: environment.chain(more).collect(),
            bound: Vec::new(),
        };
        this.image(&cluster.hosts);
        for mount in list(&container["volumeMounts"]) {
            this.mount(site, cluster, owner, mount);
        }
        if pod["automountServiceAccountToken"] == true {
            let token = (cluster.token)(text(&pod["serviceAccountName"]), None);
            this.file(&format!("{ACCOUNT}/token"), &token, 0o440);
            this.file(&format!("{ACCOUNT}/ca.crt"), &cluster.authority, 0o444);
            this.file(&format!("{ACCOUNT}/namespace"), crate::support::helm::NAMESPACE, 0o444);
        }
        this
    }

    /// Starts it.
    pub fn start(&self, site: &Site) -> Process {
        let volumes = self.root.with_extension("volumes");
        let lines = self.bound.iter().map(|(from, to)| format!("{} {to}\n", from.display()));
        fs::write(&volumes, lines.collect::<String>()).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--", "sh", "-euc", ENTER, "container"]);
        command.arg(&self.root).arg(self.user.to_string()).arg(&volumes).arg("/usr/local/bin/weir");
        command.args(&self.arguments).env_clear().envs(self.environment.iter().cloned());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        site.process(&self.name, &mut command)
    }

    /// Fails unless the process is confined as the pod's security context says.
    pub fn assert_confined(&self, process: &Process) {
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", process.id())).unwrap();
        let status = read("status");
        let has = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let user = self.user.to_string();
        assert_eq!(has("Uid:"), [&*user; 4], "{}", self.name);
        assert_eq!(has("Gid:"), [&*user; 4], "{}", self.name);
        assert_eq!(has("Groups:"), [&*user], "{}", self.name);
        assert_eq!(has("NoNewPrivs:"), ["1"], "{}", self.name);
        for set in ["CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(has(set), ["0000000000000000"], "{}: {set}", self.name);
        }
        let mounts = read("mountinfo");
        let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).expect("a root");
        assert!(root.split(' ').nth(5).unwrap().split(',').any(|option| option == "ro"), "{root}");
    }

    /// What `gcr.io/distroless/cc-debian12` has and a program may look for, and the program.
    fn image(&mut self, hosts: &str) {
        let program = env!("CARGO_BIN_EXE_weir");
        let libraries = out(Command::new("ldd").arg(program));
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            let place = self.place(library);
            fs::copy(library, place).unwrap();
        }
        for (path, text) in [
            (
                "/etc/passwd",
                "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
            ),
            ("/etc/nsswitch.conf", "hosts: files dns\n"),
            ("/etc/hosts", hosts),
        ] {
            self.file(path, text, 0o444);
        }
        self.bind(Path::new(program), "/usr/local/bin/weir");
        for device in ["/dev/null", "/dev/urandom"] {
            self.bind(Path::new(device), device);
        }
        fs::create_dir_all(self.root.join("proc")).unwrap();
        self.bound.push(("/proc".into(), "/proc".into()));
    }

    fn mount(&mut self, site: &Site, cluster: &Cluster<'_>, owner: &Value, mount: &Value) {
        let (name, path) = (text(&mount["name"]), text(&mount["mountPath"]));
        let pod = &owner["spec"]["template"]["spec"];
        let claims = list(&owner["spec"]["volumeClaimTemplates"]);
        let volume = list(&pod["volumes"]).iter().find(|volume| volume["name"] == name);
        let claimed = claims.iter().any(|claim| claim["metadata"]["name"] == name);
        let Some(volume) = volume.filter(|v| v["emptyDir"].is_null() && v["persistentVolumeClaim"].is_null()) else {
            assert!(volume.is_some() || claimed, "{}: no volume {name}", self.name);
            return self.writable(site, name, path);
        };
        let files = files(cluster, text(&pod["serviceAccountName"]), volume);
        assert!(!files.is_empty() && mount["readOnly"] == true, "{}: volume {name}", self.name);
        let mode = if volume["secret"].is_null() && volume["projected"].is_null() { 0o444 } else { 0o440 };
        for (file, content) in files {
            match mount["subPath"].as_str() {
                Some(only) if only == file => self.file(path, &content, mode),
                Some(_) => {}
                None => self.file(&format!("{path}/{file}"), &content, mode),
            }
        }
    }

    /// A volume that the pod may write to, its group's by `fsGroup`.
    fn writable(&mut self, site: &Site, name: &str, path: &str) {
        let volume = site.path(&format!("{}.{name}", self.name));
        fs::create_dir_all(&volume).unwrap();
        chown(&volume, Some(0), Some(self.user)).unwrap();
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o2775)).unwrap();
        fs::create_dir_all(self.inside(path)).unwrap();
        self.bound.push((volume, path.into()));
    }

    fn bind(&mut self, from: &Path, to: &str) {
        let place = self.place(to);
        fs::write(place, "").unwrap();
        self.bound.push((from.into(), to.into()));
    }

    fn file(&self, path: &str, content: &str, mode: u32) {
        let place = self.place(path);
        fs::write(&place, content).unwrap();
        chown(&place, Some(0), Some(self.user)).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn place(&self, path: &str) -> PathBuf {
        let place = self.inside(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        place
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// The files of a ConfigMap, a Secret or a projected token.
fn files(cluster: &Cluster<'_>, account: &str, volume: &Value) -> Vec<(String, String)> {
    let named = |object: &Value, items: &Value, read: &dyn Fn(&str) -> String| -> Vec<(String, String)> {
        let only: Vec<&str> = list(items).iter().map(|item| text(&item["key"])).collect();
        let entries = object["data"].as_object().unwrap().iter();
        let wanted = entries.filter(|(key, _)| only.is_empty() || only.contains(&key.as_str()));
        wanted.map(|(key, value)| (key.clone(), read(text(value)))).collect()
    };
    if let Some(map) = volume["configMap"].as_object() {
        let object = cluster.rendered.get("ConfigMap", text(&map["name"]));
        return named(object, &volume["configMap"]["items"], &str::to_owned);
    }
    if let Some(secret) = volume["secret"].as_object() {
        let object = cluster.rendered.get("Secret", text(&secret["secretName"]));
        return named(object, &volume["secret"]["items"], &decoded);
    }
    let sources = list(&volume["projected"]["sources"]).iter().map(|source| {
        let token = &source["serviceAccountToken"];
        (text(&token["path"]).to_owned(), (cluster.token)(account, Some(text(&token["audience"]))))
    });
    sources.collect()
}

fn decoded(base64: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), base64).unwrap();
    out(Command::new("base64").arg("--decode").arg(file.path()))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
