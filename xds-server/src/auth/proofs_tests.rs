//! Credentials over time. Nothing here waits.

use std::time::SystemTime;

use super::super::identity::Principal;
use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

fn start() -> Now {
    Now { wall: SystemTime::UNIX_EPOCH + 490_000 * HOUR, mono: Instant::now() }
}

fn identity(expires: SystemTime) -> Identity {
    Identity { principal: Principal::ServiceAccount("weir-system/weir-edge".parse().unwrap()), expires: Some(expires) }
}

fn signed(text: &str) -> Credential {
    Credential::Signed(text.into())
}

fn reviewed(text: &str) -> Credential {
    Credential::Reviewed(text.into())
}

fn is_held(proofs: &Proofs, credential: &Credential, now: Now) -> bool {
    matches!(proofs.look(&credential.fingerprint(), now), Known::Held(_))
}

#[test]
fn streams_of_one_credential_end_together_when_it_expires() {
    let (mut proofs, now) = (Proofs::default(), start());
    let first = proofs.prove(signed("a"), identity(now.wall + HOUR), now).unwrap();
    let Known::Held(second) = proofs.look(&signed("a").fingerprint(), now.plus(SECOND)) else { panic!("not held") };
    let other = proofs.prove(signed("b"), identity(now.wall + 2 * HOUR), now).unwrap();
    assert!(proofs.tend(now.plus(HOUR - SECOND)).is_empty() && !first.ended.is_cancelled());
    proofs.tend(now.plus(HOUR));
    assert!(first.ended.is_cancelled() && second.ended.is_cancelled() && !other.ended.is_cancelled());
    assert!(!is_held(&proofs, &signed("a"), now.plus(HOUR)));
}

#[test]
fn nothing_is_held_beyond_its_life_even_before_anybody_tends() {
    let (mut proofs, now) = (Proofs::default(), start());
    proofs.prove(signed("a"), identity(now.wall + HOUR), now).unwrap();
    let known = proofs.look(&signed("a").fingerprint(), now.plus(HOUR));
    assert!(matches!(known, Known::Refused(Refusal::Expired(_))), "{known:?}");
    assert!(proofs.prove(signed("a"), identity(now.wall + HOUR), now.plus(HOUR)).is_err());
    assert!(proofs.prove(signed("never"), Identity { expires: None, ..identity(now.wall) }, now).is_err());
}

/// A token that is dead stays dead, whatever the wall clock is set to.
#[test]
fn a_clock_set_back_brings_no_token_back() {
    let (mut proofs, now) = (Proofs::default(), start());
    let held = proofs.prove(signed("a"), identity(now.wall + HOUR), now).unwrap();
    let back = |after: Duration| Now { wall: now.wall - HOUR, mono: now.mono + after };
    proofs.tend(back(HOUR / 2));
    assert!(!held.ended.is_cancelled(), "half its life is left");
    proofs.tend(back(HOUR));
    assert!(held.ended.is_cancelled());
    drop(held);
    for later in 1..100 {
        proofs.tend(back(HOUR * later));
        let known = proofs.look(&signed("a").fingerprint(), back(HOUR * later));
        assert!(matches!(known, Known::Refused(Refusal::Expired(_))), "{known:?}");
        assert!(proofs.prove(signed("a"), identity(now.wall + HOUR), back(HOUR * later)).is_err());
    }
}

/// A clock that was wrong for a moment and is set right again costs a new stream, no more.
#[test]
fn a_clock_set_forward_and_right_again_lets_the_token_in_again() {
    let (mut proofs, now) = (Proofs::default(), start());
    let held = proofs.prove(signed("a"), identity(now.wall + HOUR), now).unwrap();
    let wrong = Now { wall: now.wall + 24 * HOUR, mono: now.mono + SECOND };
    proofs.tend(wrong);
    assert!(held.ended.is_cancelled(), "by the wall clock it was over");
    let right = now.plus(2 * SECOND);
    let again = proofs.prove(signed("a"), identity(now.wall + HOUR), right).unwrap();
    assert!(!again.ended.is_cancelled());
    proofs.tend(now.plus(HOUR));
    assert!(again.ended.is_cancelled(), "and it ends when it says");
}

#[test]
fn the_api_servers_yes_is_good_for_two_minutes() {
    let (mut proofs, now) = (Proofs::default(), start());
    drop(proofs.prove(reviewed("a"), identity(now.wall + HOUR), now).unwrap());
    assert!(is_held(&proofs, &reviewed("a"), now.plus(YES - SECOND)));
    assert!(matches!(proofs.look(&reviewed("a").fingerprint(), now.plus(YES)), Known::Nothing));
    proofs.tend(now.plus(YES));
    assert_eq!(proofs.held.len(), 0, "what nobody uses is forgotten");
}

#[test]
fn what_is_in_use_is_asked_about_every_minute_each_at_its_own_time() {
    let (mut proofs, now) = (Proofs::default(), start());
    let held: Vec<_> =
        (0..200).map(|n| proofs.prove(reviewed(&n.to_string()), identity(now.wall + 9 * HOUR), now).unwrap()).collect();
    let asked: Vec<usize> = (0..120).map(|second| proofs.tend(now.plus(second * SECOND)).len()).collect();
    assert_eq!(asked.iter().sum::<usize>(), 200, "each once, as long as there is no answer");
    assert_eq!(asked[..45].iter().sum::<usize>(), 0);
    assert_eq!(asked[76..].iter().sum::<usize>(), 0);
    assert!(asked.iter().all(|asked| *asked < 30), "they come in a crowd: {asked:?}");

    // No answer leaves it as it was; it is asked about again.
    let later = now.plus(120 * SECOND);
    let fingerprint = reviewed("7").fingerprint();
    proofs.unknown(&fingerprint);
    assert!(!held[7].ended.is_cancelled());
    assert_eq!(proofs.tend(later).len(), 1);
    // A yes counts from when it came.
    proofs.prove(reviewed("7"), identity(now.wall + 9 * HOUR), later).unwrap();
    assert!(is_held(&proofs, &reviewed("7"), later.plus(YES - SECOND)));
    assert!(proofs.tend(later.plus(44 * SECOND)).is_empty());
    assert_eq!(proofs.tend(later.plus(76 * SECOND)).len(), 1);
}

#[test]
fn a_no_ends_the_streams_and_is_remembered_for_a_moment() {
    let (mut proofs, now) = (Proofs::default(), start());
    let held = proofs.prove(reviewed("a"), identity(now.wall + HOUR), now).unwrap();
    proofs.refuse(reviewed("a").fingerprint(), Refusal::Revoked, now);
    assert!(held.ended.is_cancelled());
    let look = |after| proofs.look(&reviewed("a").fingerprint(), now.plus(after));
    assert!(matches!(look(NO - SECOND), Known::Refused(Refusal::Revoked)));
    assert!(matches!(look(NO), Known::Nothing));
}

#[test]
fn keys_that_change_end_what_they_no_longer_prove() {
    let (mut proofs, now) = (Proofs::default(), start());
    let kept = proofs.prove(signed("kept"), identity(now.wall + HOUR), now).unwrap();
    let gone = proofs.prove(signed("gone"), identity(now.wall + HOUR), now).unwrap();
    proofs.recheck(|credential| match credential {
        Credential::Signed(text) if &**text == "gone" => Err(Refusal::Revoked),
        _ => Ok(()),
    });
    assert!(gone.ended.is_cancelled() && !kept.ended.is_cancelled());
    assert!(matches!(proofs.look(&signed("gone").fingerprint(), now), Known::Nothing), "it is judged anew");
}

#[test]
fn what_is_held_is_bounded_and_what_is_in_use_stays() {
    let (mut proofs, now) = (Proofs::default(), start());
    let used = proofs.prove(signed("used"), identity(now.wall + HOUR), now).unwrap();
    for n in 0..MAX_HELD + 10 {
        drop(proofs.prove(signed(&n.to_string()), identity(now.wall + HOUR), now).unwrap());
    }
    assert!(proofs.held.len() <= MAX_HELD);
    assert!(is_held(&proofs, &signed("used"), now) && !used.ended.is_cancelled());
    for n in 0..MAX_REFUSED + 10 {
        proofs.refuse(signed(&n.to_string()).fingerprint(), Refusal::Revoked, now);
    }
    assert!(proofs.refused.len() <= MAX_REFUSED);
}

#[test]
fn chains_that_are_cut_differently_have_other_fingerprints() {
    let chain = |parts: &[&[u8]]| {
        let parts: Vec<_> = parts.iter().map(|part| CertificateDer::from(part.to_vec())).collect();
        Credential::Certificate(parts.into()).fingerprint()
    };
    assert_ne!(chain(&[b"ab", b"c"]), chain(&[b"a", b"bc"]));
    assert_ne!(chain(&[b"ab"]), signed("ab").fingerprint());
}

#[test]
fn nothing_shows_a_credential() {
    let (mut proofs, now) = (Proofs::default(), start());
    proofs.prove(reviewed("s3cret"), identity(now.wall + HOUR), now).unwrap();
    assert!(!format!("{proofs:?}").contains("s3cret"));
}
