//! `helm/Dockerfile`. No container engine is at hand here, so it is not built; what it names is checked, and `pods` runs
//! the program in a root that has what the image has.

use std::fs;
use std::process::Command;

use crate::support::helm::{out, render};
use crate::support::site::repository;

/// The shared libraries that `gcr.io/distroless/cc-debian12` has, of those that a Rust program may want.
const IN_THE_IMAGE: &[(&str, &str)] = &[
    ("libc.so.6", "glibc, from distroless/base"),
    ("libm.so.6", "glibc"),
    ("libpthread.so.0", "glibc"),
    ("libdl.so.2", "glibc"),
    ("librt.so.1", "glibc"),
    ("ld-linux-x86-64.so.2", "glibc's loader"),
    ("ld-linux-aarch64.so.1", "glibc's loader"),
    ("libgcc_s.so.1", "libgcc, which distroless/cc adds: unwinding"),
    ("libstdc++.so.6", "libstdc++, which distroless/cc adds"),
    ("linux-vdso.so.1", "the kernel's"),
];

/// Instructions of the Dockerfile, continued lines joined, without comments.
fn instructions() -> Vec<String> {
    let text = fs::read_to_string(repository("helm/Dockerfile")).unwrap();
    let plain: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let joined = plain.join("\n").replace("\\\n", " ");
    joined.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn after<'a>(instructions: &'a [String], word: &str) -> Vec<&'a str> {
    instructions.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect()
}

#[test]
fn what_is_copied_exists_and_is_not_ignored() {
    let instructions = instructions();
    let ignore = fs::read_to_string(repository("helm/Dockerfile.dockerignore")).unwrap();
    let copies = after(&instructions, "COPY");
    assert!(copies.len() > 5);
    for copy in copies.into_iter().filter(|copy| !copy.starts_with("--from=")) {
        let words: Vec<&str> = copy.split(' ').collect();
        for source in &words[..words.len() - 1] {
            assert!(repository(source).exists(), "COPY {copy}: there is no {source}");
            let top = source.split('/').next().unwrap();
            assert!(ignore.lines().any(|line| line == format!("!{top}")), "COPY {copy}: {top} is ignored");
        }
    }
    // Every crate of the workspace is there, or its manifest would not be read.
    let manifest = fs::read_to_string(repository("Cargo.toml")).unwrap();
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).unwrap();
    let members: Vec<String> = serde_json::from_str(members).unwrap();
    for member in members {
        assert!(
            after(&instructions, "COPY").contains(&format!("{member} {member}").as_str()),
            "{member} is not copied"
        );
        assert!(after(&instructions, "COPY").contains(&format!("{member}/Cargo.toml {member}/").as_str()), "{member}");
    }
}

#[test]
fn the_image_is_distroless_without_root_and_has_the_user_of_the_charts_pods() {
    let instructions = instructions();
    assert_eq!(after(&instructions, "FROM").last().unwrap(), &"gcr.io/distroless/cc-debian12:nonroot");
    assert!(after(&instructions, "HEALTHCHECK").is_empty(), "Kubernetes' probes ask");
    let rendered = render("");
    for (_, pod) in rendered.pods() {
        let security = &pod["spec"]["securityContext"];
        let user = format!("{}:{}", security["runAsUser"], security["runAsGroup"]);
        assert_eq!(after(&instructions, "USER"), [user.as_str()]);
    }
    let entry = after(&instructions, "ENTRYPOINT")[0];
    let program: Vec<String> = serde_json::from_str(entry).unwrap();
    assert!(after(&instructions, "COPY").iter().any(|copy| copy.ends_with(&program[0])));
    let manifest = fs::read_to_string(repository("Cargo.toml")).unwrap();
    let rust = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert_eq!(after(&instructions, "ARG"), [format!("RUST_VERSION={rust}")]);
}

#[test]
fn the_program_needs_no_library_that_the_image_does_not_have() {
    let said = out(Command::new("ldd").arg(env!("CARGO_BIN_EXE_weir")));
    let needed = said.lines().filter_map(|line| line.split_whitespace().next()?.rsplit('/').next());
    let strangers: Vec<_> = needed.filter(|name| IN_THE_IMAGE.iter().all(|(known, _)| known != name)).collect();
    assert!(strangers.is_empty(), "not in distroless/cc: {strangers:?}");
}

#[test]
fn the_stand_ins_for_sources_satisfy_cargo() {
    // The layer of dependencies holds manifests and empty sources: cargo must read such a workspace.
    let folder = tempfile::tempdir().unwrap();
    let instructions = instructions();
    for copy in after(&instructions, "COPY").iter().take_while(|copy| copy.contains("Cargo.toml")) {
        let words: Vec<&str> = copy.split(' ').collect();
        let target = folder.path().join(words[words.len() - 1]);
        fs::create_dir_all(&target).unwrap();
        for source in &words[..words.len() - 1] {
            let name = source.rsplit('/').next().unwrap();
            fs::copy(repository(source), target.join(name)).unwrap();
        }
    }
    let run = after(&instructions, "RUN").into_iter().find(|run| run.starts_with("for crate")).unwrap();
    let made = run.split("&& cargo").next().unwrap();
    out(Command::new("sh").arg("-ec").arg(made).current_dir(folder.path()));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    out(Command::new(cargo)
        .args(["metadata", "--offline", "--locked", "--no-deps", "--format-version", "1"])
        .current_dir(folder.path()));
}
