//! A network namespace of its own: ports 80 and 443 of loopback addresses are then nobody else's.

use std::process::Command;

/// Set within.
const INSIDE: &str = "WEIR_TEST_INSIDE";
/// Brings loopback up, with the addresses of `Address`, then becomes the test program.
const ENTER: &str = "ip link set lo up && ip route add local 198.18.0.0/15 dev lo && exec \"$0\" \"$@\"";

/// Runs `body` in a network namespace of its own: the test `name` of this program is started again within one. Where
/// none can be made (no root, no `unshare`), `body` runs where it is, on loopback addresses of its own.
pub fn namespace(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() || !can_be_made() {
        return body();
    }
    let program = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(["--net", "--", "sh", "-c", ENTER])
        .arg(program)
        .args([name, "--exact", "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed within its network namespace: see above");
}

/// Whether a network namespace can be made here; why not goes to stderr.
pub fn can_be_made() -> bool {
    let tried = Command::new("unshare").args(["--net", "--", "ip", "link", "set", "lo", "up"]).output();
    let made = tried.is_ok_and(|output| output.status.success());
    if !made {
        eprintln!("no network namespace can be made here (it takes root and iproute2): the machine's own is used");
    }
    made
}
