//! A set that is small almost always, and large sometimes.

use std::borrow::Borrow;
use std::collections::{BTreeSet, btree_set};
use std::slice;

/// Beyond so many members it is a tree: to put one in must not cost what all of a large set take.
const FEW: usize = 16;

/// An ordered set. What depends on what is mostly told of one or two things, of which a [`BTreeSet`] would keep
/// room for eleven: here a few lie one after the other, without spare room.
#[derive(Clone, Debug)]
pub struct Few<T>(Members<T>);

#[derive(Clone, Debug)]
enum Members<T> {
    /// Sorted.
    Few(Vec<T>),
    Many(BTreeSet<T>),
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(Members::Few(Vec::new()))
    }
}

impl<T: Ord> Few<T> {
    /// Puts one in; false if it was there.
    pub fn insert(&mut self, member: T) -> bool {
        match &mut self.0 {
            Members::Many(many) => return many.insert(member),
            Members::Few(few) => match few.binary_search(&member) {
                Ok(_) => return false,
                Err(place) if few.len() < FEW => {
                    few.reserve_exact(1);
                    few.insert(place, member);
                }
                Err(_) => self.0 = Members::Many(std::mem::take(few).into_iter().chain([member]).collect()),
            },
        }
        true
    }

    /// Takes one out; false if it was not there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, member: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        let few = match &mut self.0 {
            Members::Few(few) => match few.binary_search_by(|other| other.borrow().cmp(member)) {
                Ok(place) => {
                    few.remove(place);
                    few.shrink_to_fit();
                    return true;
                }
                Err(_) => return false,
            },
            Members::Many(many) => {
                let removed = many.remove(member);
                // Well below the bound, so that a set at the bound is not made anew again and again.
                if !removed || many.len() > FEW / 2 {
                    return removed;
                }
                std::mem::take(many).into_iter().collect()
            }
        };
        self.0 = Members::Few(few);
        true
    }

    /// Whether it is in.
    pub fn contains<Q: Ord + ?Sized>(&self, member: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        match &self.0 {
            Members::Few(few) => few.binary_search_by(|other| other.borrow().cmp(member)).is_ok(),
            Members::Many(many) => many.contains(member),
        }
    }

    /// The least.
    pub fn first(&self) -> Option<&T> {
        self.iter().next()
    }

    /// Those that are no less than `least`, in order.
    pub fn since(&self, least: &T) -> Iter<'_, T> {
        Iter(match &self.0 {
            Members::Few(few) => {
                let (_, rest) = few.split_at(few.partition_point(|member| member < least));
                Inner::Few(rest.iter())
            }
            Members::Many(many) => Inner::Since(many.range(least..)),
        })
    }
}

impl<T> Few<T> {
    /// All, in order.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter(match &self.0 {
            Members::Few(few) => Inner::Few(few.iter()),
            Members::Many(many) => Inner::Many(many.iter()),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Members::Few(few) => few.len(),
            Members::Many(many) => many.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Ord> From<BTreeSet<T>> for Few<T> {
    fn from(set: BTreeSet<T>) -> Self {
        if set.len() > FEW {
            return Self(Members::Many(set));
        }
        // A vector that is collected has room for four at least.
        let mut few = Vec::with_capacity(set.len());
        few.extend(set);
        Self(Members::Few(few))
    }
}

impl<T: Ord> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        BTreeSet::from_iter(members).into()
    }
}

/// Members, in order.
#[derive(Debug)]
pub struct Iter<'a, T>(Inner<'a, T>);

#[derive(Debug)]
enum Inner<'a, T> {
    Few(slice::Iter<'a, T>),
    Many(btree_set::Iter<'a, T>),
    Since(btree_set::Range<'a, T>),
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        match &mut self.0 {
            Inner::Few(few) => few.next(),
            Inner::Many(many) => many.next(),
            Inner::Since(rest) => rest.next(),
        }
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// It is the same set as the tree, on both sides of the bound and across it.
        #[test]
        fn it_is_a_set(edits in prop::collection::vec((any::<bool>(), 0..40u8), 0..300), least in 0..40u8) {
            let (mut few, mut tree) = (Few::default(), BTreeSet::new());
            for (put, member) in edits {
                if put {
                    prop_assert_eq!(few.insert(member), tree.insert(member));
                } else {
                    prop_assert_eq!(few.remove(&member), tree.remove(&member));
                }
                prop_assert!(few.iter().eq(&tree));
                prop_assert!(few.since(&least).eq(tree.range(least..)));
                prop_assert_eq!((few.len(), few.first(), few.contains(&least)), (tree.len(), tree.first(), tree.contains(&least)));
            }
            prop_assert!(Few::from(tree.clone()).iter().eq(&tree));
            prop_assert!(tree.iter().rev().copied().collect::<Few<u8>>().iter().eq(&tree));
        }
    }

    /// What it is for.
    #[test]
    fn one_member_takes_the_room_of_one() {
        let mut put = Few::default();
        put.insert("only".to_owned());
        for few in [put, BTreeSet::from(["only".to_owned()]).into()] {
            let Members::Few(members) = &few.0 else { panic!("{few:?}") };
            assert_eq!(members.capacity(), 1);
        }
    }
}
