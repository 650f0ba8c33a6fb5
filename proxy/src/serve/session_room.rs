//! How many UDP sessions there may be. Each holds a socket, and a client's address may be forged, so whoever floods a
//! listener opens as many as he is let.
//!
//! All listeners together have a part of the process's files, which the connections of TCP do not need; one of them
//! has at most a quarter of that part, so that the flood of one tenant's listener leaves room for the others'. Beyond
//! either bound a new client takes the place of another of the same listener and worker: see [`Order`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Sessions of one listener at one time, over all workers, whatever there is room for.
const MOST: usize = 8192;
/// One listener's part of the whole.
const PARTS: usize = 4;

/// Room for the sessions of all listeners.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// Room for those of one listener.
#[derive(Clone, Debug)]
pub(super) struct Room {
    whole: Whole,
    taken: Arc<AtomicUsize>,
}

/// Of a session; free again when dropped.
#[derive(Debug)]
pub(super) struct Place([Arc<AtomicUsize>; 2]);

impl Whole {
    /// For so many sessions.
    pub(super) fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// One more listener's.
    pub(super) fn listener(&self) -> Room {
        Room { whole: self.clone(), taken: Arc::default() }
    }
}

impl Room {
    /// A place, if there is one.
    pub(super) fn take(&self) -> Option<Place> {
        let own = (self.whole.most / PARTS).clamp(1, MOST);
        if !increase(&self.taken, own) {
            return None;
        }
        if !increase(&self.whole.taken, self.whole.most) {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place([self.taken.clone(), self.whole.taken.clone()]))
    }
}

fn increase(taken: &AtomicUsize, most: usize) -> bool {
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < most).then_some(n + 1)).is_ok()
}

impl Drop for Place {
    fn drop(&mut self) {
        for taken in &self.0 {
            taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What a session is worth, the least first: whether its client is proven, when it last was of use, and the client's
/// address.
///
/// As in Linux's connection tracking a client is proven that sent something after it had a reply. A forged address
/// gets no further than its first datagrams, so a flood of them takes the places of its like, and of those who asked
/// once and have their answer; a client who talks keeps its session.
pub(super) type Worth = (bool, Instant, SocketAddr);

/// Sessions in the order in which they give way. A worth that has grown since is looked at again when its turn comes,
/// so that datagrams cost nothing here.
#[derive(Debug, Default)]
pub(super) struct Order(BTreeSet<Worth>);

/// Sessions that are looked at for one new client; each that is worth more by now costs its place in the order once.
const LOOKS: usize = 64;

impl Order {
    pub(super) fn insert(&mut self, worth: Worth) {
        self.0.insert(worth);
    }

    pub(super) fn remove(&mut self, worth: &Worth) {
        self.0.remove(worth);
    }

    /// Takes out the least; `now` says what each is worth by now, none where it is gone, and is told where it was not
    /// the least after all.
    pub(super) fn pop(&mut self, mut now: impl FnMut(&Worth) -> Option<Worth>) -> Option<Worth> {
        for look in 1.. {
            let filed = self.0.pop_first()?;
            match now(&filed) {
                Some(worth) if worth > filed && look < LOOKS => self.0.insert(worth),
                Some(_) => return Some(filed),
                None => continue,
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_is_proven_gives_way_last_and_among_equals_the_one_that_was_of_no_use_for_longest() {
        let start = Instant::now();
        let client = |n: u16| SocketAddr::from(([192, 0, 2, 1], n));
        let worth = |proven, seconds, n| (proven, start + Duration::from_secs(seconds), client(n));
        let mut order = Order::default();
        let filed = [worth(true, 1, 1), worth(false, 2, 2), worth(false, 3, 3), worth(false, 4, 4), worth(false, 5, 5)];
        filed.into_iter().for_each(|worth| order.insert(worth));
        // By now the second has been of use again, the third is proven, and the fifth is gone.
        let by_now = [filed[0], worth(false, 6, 2), worth(true, 3, 3), filed[3]];
        let by_now: BTreeMap<_, _> = by_now.into_iter().map(|worth| (worth.2, worth)).collect();
        let popped: Vec<u16> = std::iter::from_fn(|| order.pop(|filed| by_now.get(&filed.2).copied()))
            .map(|worth| worth.2.port())
            .collect();
        assert_eq!(popped, [4, 2, 1, 3]);
    }

    fn all(room: &Room) -> Vec<Place> {
        std::iter::from_fn(|| room.take()).collect()
    }

    #[test]
    fn a_listener_has_its_part_and_no_more_until_a_session_ends() {
        let room = Whole::new(40).listener();
        let other_worker = room.clone();
        let mut places = all(&room);
        assert_eq!(places.len(), 10);
        assert!(other_worker.take().is_none());
        places.pop();
        assert!(other_worker.take().is_some() && room.take().is_some());
    }

    #[test]
    fn no_listener_has_more_than_the_most_however_many_files_there_are() {
        assert_eq!(all(&Whole::new(1_000_000).listener()).len(), MOST);
        assert_eq!(all(&Whole::new(1).listener()).len(), 1);
    }

    #[test]
    fn all_listeners_together_have_the_whole() {
        let whole = Whole::new(40);
        let rooms: Vec<Room> = (0..5).map(|_| whole.listener()).collect();
        let mut places: Vec<Vec<Place>> = rooms.iter().map(all).collect();
        assert_eq!(places.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 10, 10, 0]);
        places.remove(0);
        assert_eq!(all(&rooms[4]).len(), 10);
        // One that was refused for want of the whole has taken nothing of its own.
        drop(places);
        assert_eq!(all(&rooms[4]).len(), 10);
    }
}
