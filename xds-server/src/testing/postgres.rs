//! A real PostgreSQL server for tests: its own folder, a Unix socket, no TCP port, `fsync` on.
//!
//! It ends with the value, and where the process dies before that, with the process.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to start; a slow machine recovers slowly.
const START: Duration = Duration::from_secs(60);
/// Whom the server runs as, where this process is root: PostgreSQL refuses root.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// A server.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    user: Option<User>,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
}

#[derive(Debug)]
struct User {
    name: &'static str,
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// A server that the tests which run in this process share; it ends with the last of them.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    /// A server of one's own.
    ///
    /// # Panics
    /// Where Debian's `postgresql` is not installed, or the server does not start.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("weir-pg-").tempdir().expect("a temporary folder");
        let user = is_root().then(|| USERS.into_iter().find_map(user).expect("a user that is not root"));
        if let Some(User { uid, gid, .. }) = &user {
            chown(folder.path(), Some(*uid), Some(*gid)).expect("the folder is given to the server's user");
        }
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).expect("the folder is private");
        let databases = AtomicU32::new(0);
        let server = Self { programs: programs(), folder, user, server: Mutex::default(), databases };
        let data = server.data();
        let made = server
            .command("initdb")
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--wal-segsize=1"])
            .args(["--no-sync", "--no-instructions", "-D"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.launch();
        server
    }

    /// Starts the server anew, after [`Postgres::kill`] or [`Postgres::stop`].
    ///
    /// # Panics
    /// Where it does not start.
    pub fn launch(&self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        for setting in ["listen_addresses=", "fsync=on", "max_connections=60", "shared_buffers=32MB"] {
            command.args(["-c", setting]);
        }
        let log = std::fs::File::options().create(true).append(true).open(self.log()).expect("the server's log");
        command.stdout(Stdio::null()).stderr(log);
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(spawn(command));
        let deadline = Instant::now() + START;
        while !self.answers() {
            assert!(
                Instant::now() < deadline,
                "PostgreSQL does not start: {}",
                std::fs::read_to_string(self.log()).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends every process of the server at once, as a loss of power does to it. What it had not written is lost.
    pub fn kill(&self) {
        let Some(mut server) = self.server.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let children = children(&server);
        let _ = server.kill();
        let _ = server.wait();
        for child in &children {
            let _ = Command::new("kill").args(["-KILL", child]).stderr(Stdio::null()).status();
        }
        // A process that still has shared memory would keep the next server from starting.
        for child in &children {
            while is_running(child) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Sends a signal, by its name without `SIG`, to every process of the server: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(server) = &*server else { return };
        let processes = std::iter::once(server.id().to_string()).chain(children(server));
        let _ = Command::new("kill").arg(format!("-{name}")).args(processes).stderr(Stdio::null()).status();
    }

    /// Ends the server and breaks off what its clients do.
    pub fn stop(&self) {
        let Some(mut server) = self.server.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let _ = Command::new("kill").args(["-QUIT", &server.id().to_string()]).status();
        let _ = server.wait();
    }

    /// A new, empty database: its URL.
    ///
    /// # Panics
    /// Where the server refuses.
    pub fn database(&self) -> String {
        self.database_in("UTF8")
    }

    /// A new, empty database whose text is encoded so.
    ///
    /// # Panics
    /// Where the server refuses.
    pub fn database_in(&self, encoding: &str) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0"));
        format!("postgres://postgres@localhost/{name}?host={}", self.folder.path().display())
    }

    /// What `psql` answers.
    ///
    /// # Panics
    /// Where the server refuses.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database, sql).output().expect("psql runs");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut command = self.command("psql");
        command.args(["-X", "-A", "-t", "-q", "-U", "postgres", "-d", database, "-c", sql]);
        command.arg("-h").arg(self.folder.path());
        command
    }

    fn answers(&self) -> bool {
        self.psql("postgres", "SELECT 1").output().is_ok_and(|output| output.status.success())
    }

    /// One of its programs, as its user, which gets SIGQUIT (for the server: end at once) where this process dies.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "QUIT"]);
        if let Some(user) = &self.user {
            command.args(["--reuid", user.name, "--regid", &user.gid.to_string(), "--clear-groups"]);
        }
        command.arg("--").arg(self.programs.join(program)).current_dir(self.folder.path());
        command.env_remove("LC_ALL").env("LANG", "C").stdin(Stdio::null());
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ids of a process's children.
fn children(server: &Child) -> Vec<String> {
    let file = format!("/proc/{0}/task/{0}/children", server.id());
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Whether a process has not ended; one that nobody has waited for yet has ended.
fn is_running(process: &str) -> bool {
    let text = std::fs::read_to_string(Path::new("/proc").join(process).join("stat")).unwrap_or_default();
    text.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The signal for a parent's death follows the thread that started the child: this one lives as long as the process.
fn spawn(mut command: Command) -> Child {
    let (started, child) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = started.send(command.spawn());
        loop {
            std::thread::park();
        }
    });
    child.recv().expect("the thread answers").expect("PostgreSQL is started")
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn user(name: &'static str) -> Option<User> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2);
    Some(User { name, uid: ids.next()?.parse().ok()?, gid: ids.next()?.parse().ok()? })
}

/// Folder of the newest installed version, where Debian puts them, or the one in `PATH`.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok()).max();
    if let Some(version) = newest {
        return PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|folder| folder.join("initdb").is_file())
        .expect("PostgreSQL is not installed: run tests/tools/install.sh")
}
