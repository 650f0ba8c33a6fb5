//! What the documents tell people to type is typed here: README's `sh` blocks, the demo and each
//! line that it says to try, and every example. Addresses are moved to the test's own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::process::Process;
use crate::support::site::{PROXY_ADMIN, SERVER_ADMIN, Site, XDS, repository, weir};
use crate::support::wait;

/// A copy of the examples in the site's directory, at the site's address, and a `weir` that moves
/// its default ports there.
fn workplace(site: &Site) {
    copy(&repository("config/examples"), &site.path("config/examples"), site);
    let address = |port: u16| format!("{}:{port}", site.ip());
    fs::create_dir(site.path("bin")).unwrap();
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in\n\
         up) exec {weir} \"$@\" --xds {xds} --server-admin {server} --proxy-admin {proxy};;\n\
         status|explain) case \"$*\" in *--dir*) exec {weir} \"$@\";; *) exec {weir} \"$@\" --server http://{server};; esac;;\n\
         usage) case \"$*\" in *--state-dir*) exec {weir} \"$@\";; *) exec {weir} \"$@\" --server http://{server};; esac;;\n\
         *) exec {weir} \"$@\";;\nesac\n",
        weir = env!("CARGO_BIN_EXE_weir"),
        xds = address(XDS),
        server = address(SERVER_ADMIN),
        proxy = address(PROXY_ADMIN),
    );
    fs::write(site.path("bin/weir"), script).unwrap();
    let mode = Command::new("chmod").arg("+x").arg(site.path("bin/weir")).status().unwrap();
    assert!(mode.success());
}

fn copy(from: &Path, to: &Path, site: &Site) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target, site);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            fs::copy(&path, &target).unwrap();
            fs::write(&target, text.replace("127.0.0.1", &site.ip().to_string())).unwrap();
        }
    }
}

/// `bash -c` in the workplace.
fn shell(site: &Site, line: &str) -> Command {
    let mut command = Command::new("bash");
    let path = format!("{}:{}", site.path("bin").display(), std::env::var("PATH").unwrap());
    command.arg("-c").arg(line).current_dir(site.path("")).env("PATH", path).env("NO_COLOR", "1");
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_commands_of_the_readme_run() {
    let site = Site::new();
    workplace(&site);
    let text = fs::read_to_string(repository("README.md")).unwrap();
    let blocks: Vec<&str> = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 5, "README has only {} `sh` blocks", blocks.len());
    let mut running: Vec<Process> = Vec::new();
    for line in blocks.iter().flat_map(|block| block.lines()).filter(|line| !line.trim().is_empty()) {
        let line = line.replace("/tmp/weir-state", &site.path("state").display().to_string());
        if line.starts_with("weir up") {
            running.push(site.process("readme-up", &mut shell(&site, &format!("exec {line}"))));
            wait_until_ready(&site);
            continue;
        }
        let output = shell(&site, &line).output().unwrap();
        assert!(output.status.success(), "`{line}`: {}\n{}", output.status, said(&output));
        assert!(!output.stdout.is_empty(), "`{line}` says nothing");
    }
    assert!(!running.is_empty(), "README does not show `weir up`");
    for mut process in running {
        assert!(process.terminate().success());
    }
}

fn wait_until_ready(site: &Site) {
    wait::until("weir up to be ready", || {
        let url = format!("curl -fs http://{}:{PROXY_ADMIN}/ready", site.ip());
        shell(site, &url).output().is_ok_and(|o| o.status.success()).then_some(())
    });
}

/// What README shows of `weir explain` is what it says.
#[test]
fn the_output_in_the_readme_is_real() {
    let text = fs::read_to_string(repository("README.md")).unwrap();
    let shown = text.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let url = "http://shop.acme.test:8080/api/orders";
    let dir = repository("config/examples/quickstart");
    let output = weir().args(["explain", url, "--dir"]).arg(dir).env("NO_COLOR", "1").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), shown);
}

/// The demo without its build. Each line that it prints to try is run, and must show what it says.
#[test]
fn each_line_of_the_demo_shows_what_it_says() {
    let site = Site::new();
    workplace(&site);
    let mut demo = site.process(
        "demo",
        shell(&site, "exec config/examples/demo.sh")
            .env("WEIR_BIN", site.path("bin/weir"))
            .env("TMPDIR", site.path("")),
    );
    let text = wait::until("the demo to say what to try", || {
        demo.assert_alive();
        let text = demo.output();
        text.contains("Ctrl-C ends").then_some(text)
    });
    let lines: Vec<&str> = text.lines().collect();
    let tries: Vec<(&str, &str)> = lines.windows(2).filter(|w| w[0].starts_with("# ")).map(|w| (w[0], w[1])).collect();
    assert!(tries.len() >= 7, "{text}");
    let mut shown = String::new();
    for (about, line) in &tries {
        let output = shell(&site, line).output().unwrap();
        assert!(output.status.success() || line.contains("status"), "`{line}`: {}\n{}", output.status, said(&output));
        shown += &format!("{about}\n{}\n", said(&output));
    }
    for expected in ["\"name\":\"shop\"", "\"name\":\"web\"", "\"name\":\"api\"", " 429", "acme", "globex"] {
        assert!(shown.contains(expected), "`{expected}` is not shown:\n{shown}");
    }
    let canary = |count: &str, name: &str| {
        shown.lines().any(|l| l.split_whitespace().collect::<Vec<_>>() == [count, &format!("\"name\":\"{name}\"")])
    };
    assert!(canary("90", "shop") && canary("10", "shop-canary"), "not 90 and 10:\n{shown}");
    let counts = shown.lines().find_map(|line| line.strip_prefix("sent ")?.split_once(" bytes, received "));
    let (sent, received) = counts.unwrap_or_else(|| panic!("no counted request:\n{shown}"));
    let metered = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = metered.filter(|cells| cells.get(1) == Some(&"acme")).find(|cells| cells[2..5] == ["1", sent, received]);
    assert!(row.is_some(), "no window of one request with {sent} and {received} bytes:\n{shown}");
    assert!(demo.terminate().success(), "{}", demo.errors());
    let left = ["8080", "8443", "9901", "18000"]
        .map(|port| std::net::TcpStream::connect((site.ip(), port.parse::<u16>().unwrap())).is_ok());
    assert_eq!(left, [false; 4], "something still listens after the demo");
}

#[test]
fn every_example_passes_the_check() {
    for entry in fs::read_dir(repository("config/examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("bootstrap") {
            let output = weir().arg("check").arg(&path).output().unwrap();
            assert!(output.status.success(), "{}: {}", path.display(), said(&output));
        }
    }
}
