use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use super::super::token::Token;
use super::*;

fn bootstrap(state: &Path) -> ServerBootstrap {
    let text = format!(
        "source: {{directory: d}}\nstateDir: {}\noperators: [weir-system/oncall]\nproxyClasses:\n\
         - {{name: edge, serviceAccount: weir-system/weir-edge}}\n\
         - {{name: silo, serviceAccount: acme-edge/weir-edge, gateways: ['acme-edge/*']}}\n",
        state.display()
    );
    ServerBootstrap::parse(&text).unwrap()
}

fn start() -> Now {
    Now { wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_000_000), mono: Instant::now() }
}

fn open(state: &Path, address: &str, now: Now) -> OwnIssuer {
    let mut bootstrap = bootstrap(state);
    bootstrap.xds.address = address.parse().unwrap();
    OwnIssuer::open(&bootstrap, now).unwrap()
}

/// Whose the token in `file` is.
fn account(issuer: &OwnIssuer, file: &Path, now: Now) -> String {
    let text = fs::read_to_string(file).unwrap();
    let token = Token::read(&text).unwrap();
    assert_eq!(token.claims.issuer, issuer.name());
    token.claims.check("weir", now.wall).unwrap();
    token.verify(&issuer.keys()).unwrap();
    token.claims.account.to_string()
}

#[test]
fn each_class_and_operator_has_a_token_that_the_keys_prove() {
    let dir = tempfile::tempdir().unwrap();
    let now = start();
    let issuer = open(dir.path(), "127.0.0.1:18000", now);
    let places = Places::new(dir.path());
    assert_eq!(account(&issuer, &places.class_token("edge"), now), "weir-system/weir-edge");
    assert_eq!(account(&issuer, &places.class_token("silo"), now), "acme-edge/weir-edge");
    let oncall = places.operator_token(&"weir-system/oncall".parse().unwrap());
    assert_eq!(account(&issuer, &oncall, now), "weir-system/oncall");
}

#[test]
fn nobody_else_may_read_any_of_it() {
    let dir = tempfile::tempdir().unwrap();
    // A folder that was open before is closed.
    let folder = dir.path().join("identity");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    open(dir.path(), "127.0.0.1:18000", start());
    let mut folders = vec![folder];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                assert_eq!(fs::metadata(&entry).unwrap().permissions().mode() & 0o777, 0o600, "{}", entry.display());
                files += 1;
            }
        }
    }
    assert_eq!(files, 8, "signing key, authority and certificate with their keys, three tokens");
}

#[test]
fn keys_and_certificates_are_made_once_and_tokens_of_an_earlier_start_still_hold() {
    let dir = tempfile::tempdir().unwrap();
    let now = start();
    let places = Places::new(dir.path());
    open(dir.path(), "127.0.0.1:18000", now);
    let before = [places.ca(), places.certificate(), places.key()].map(|file| fs::read(file).unwrap());
    let token = fs::read_to_string(places.class_token("edge")).unwrap();
    let later = now.plus(Duration::from_secs(600));
    let issuer = open(dir.path(), "127.0.0.1:18000", later);
    let after = [places.ca(), places.certificate(), places.key()].map(|file| fs::read(file).unwrap());
    assert!(before == after, "made anew without need");
    let token = Token::read(&token).unwrap();
    assert!(token.verify(&issuer.keys()).is_ok() && token.claims.check("weir", later.wall).is_ok());
}

#[test]
fn the_certificate_is_made_anew_where_it_no_longer_does() {
    let dir = tempfile::tempdir().unwrap();
    let now = start();
    let places = Places::new(dir.path());
    let read = || fs::read_to_string(places.certificate()).unwrap();
    open(dir.path(), "127.0.0.1:18000", now);
    let first = read();
    open(dir.path(), "10.0.0.7:18000", now);
    let second = read();
    assert_ne!(first, second, "another address");
    open(dir.path(), "0.0.0.0:18000", now);
    assert_eq!(read(), second, "an address that stands for all is no name");
    open(dir.path(), "10.0.0.7:18000", now.plus(Duration::from_secs(46 * 24 * 3600)));
    let third = read();
    assert_ne!(second, third, "half its life is over");
    fs::remove_file(dir.path().join("identity/ca.key")).unwrap();
    open(dir.path(), "10.0.0.7:18000", now.plus(Duration::from_secs(46 * 24 * 3600)));
    assert_ne!(third, read(), "another authority");
}

#[test]
fn tokens_are_written_anew_at_half_life_and_when_the_clock_was_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let now = start();
    let mut issuer = open(dir.path(), "127.0.0.1:18000", now);
    let file = Places::new(dir.path()).class_token("edge");
    let begins = || Token::read(&fs::read_to_string(&file).unwrap()).unwrap().claims.begins;
    issuer.renew(now.plus(LIFE / 2 - Duration::from_secs(1))).unwrap();
    assert_eq!(begins(), now.wall);
    let half = now.plus(LIFE / 2);
    issuer.renew(half).unwrap();
    assert_eq!(begins(), half.wall);
    let back = Now { wall: now.wall - LIFE, mono: half.mono };
    issuer.renew(back).unwrap();
    assert_eq!(begins(), back.wall, "a token that begins later would be refused");
    let stopped = Now { wall: back.wall, mono: back.mono + LIFE / 2 };
    issuer.renew(stopped).unwrap();
    assert!(!due(issuer.written, stopped) && due(back, stopped), "a wall clock that stands still");
}

#[test]
fn what_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("identity")).unwrap();
    fs::write(dir.path().join("identity/signing.key"), "nonsense").unwrap();
    let error = OwnIssuer::open(&bootstrap(dir.path()), start()).unwrap_err();
    assert!(format!("{error:#}").contains("identity/signing.key"), "{error:#}");
}
