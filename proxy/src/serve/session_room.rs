//! How many UDP sessions there may be. Each holds a socket, and a client's address may be forged, so whoever floods a
//! listener opens as many as he is let.
//!
//! All listeners together have a part of the process's files, which the connections of TCP do not need; one of them
//! has at most a quarter of that part, so that the flood of one tenant's listener leaves room for the others'. Beyond
//! either bound new clients' datagrams are lost, as at Envoy, and those who have a session keep it: to end the one that
//! was idle for longest would let the flood end everybody's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

#[cfg(test)]
mod tests {
    use super::*;

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
