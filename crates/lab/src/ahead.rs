//! The next item beside the work on this one.

use crate::failure::Outcome;
use std::sync::mpsc;

/// Passes on what an iterator gives, in order. The iterator is one item ahead, on a thread of its own: while `take` refines and saves a
/// picture, the next goes through the encoder. At most three items exist at a time: the one taken, one that waits, one in the making.
///
/// # Errors
/// The first of `take`; what the iterator has made meanwhile is dropped.
pub fn ahead<A: Send>(made: impl Iterator<Item = A> + Send, take: impl FnMut(A) -> Outcome) -> Outcome {
    ahead_by(1, made, take)
}

/// The same, so many items ahead of the one that is taken: those that wait, and the one in the making. With 0 there is no other thread.
///
/// # Errors
/// As [`ahead`].
pub fn ahead_by<A: Send>(
    most: usize,
    mut made: impl Iterator<Item = A> + Send,
    take: impl FnMut(A) -> Outcome,
) -> Outcome {
    if most == 0 {
        return made.try_for_each(take);
    }
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(most - 1);
        // Sending fails once nobody takes any more.
        scope.spawn(move || made.all(|item| send.send(item).is_ok()));
        receive.into_iter().try_for_each(take)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn items_come_in_order_and_few_are_made_ahead() {
        let made = AtomicUsize::new(0);
        let items = (0..100).inspect(|_| {
            made.fetch_add(1, Ordering::SeqCst);
        });
        let mut taken = 0;
        ahead(items, |item| {
            assert_eq!(item, taken);
            taken += 1;
            let ahead = made.load(Ordering::SeqCst) - taken;
            assert!(ahead <= 2, "{ahead} made ahead");
            Ok(())
        })
        .unwrap();
        assert_eq!((taken, made.into_inner()), (100, 100));
    }

    #[test]
    fn as_many_are_made_ahead_as_are_asked_for() {
        for most in [0, 1, 4] {
            let made = AtomicUsize::new(0);
            let items = (0..100).inspect(|_| {
                made.fetch_add(1, Ordering::SeqCst);
            });
            let (mut taken, mut farthest) = (0, 0);
            ahead_by(most, items, |item| {
                assert_eq!(item, taken);
                taken += 1;
                if taken == 50 {
                    std::thread::sleep(std::time::Duration::from_millis(200)); // as far ahead as it goes
                }
                farthest = farthest.max(made.load(Ordering::SeqCst) - taken);
                Ok(())
            })
            .unwrap();
            // The one in the making is counted when it begins, those that wait before it.
            assert_eq!((taken, farthest), (100, most));
        }
    }

    #[test]
    fn a_failure_ends_the_making() {
        let made = AtomicUsize::new(0);
        let items = (0..100).inspect(|_| {
            made.fetch_add(1, Ordering::SeqCst);
        });
        let failed = ahead(items, |item| if item < 3 { Ok(()) } else { Err(Failure::input("items", "bad")) });
        assert!(failed.is_err());
        assert!(made.into_inner() <= 6);
    }
}
