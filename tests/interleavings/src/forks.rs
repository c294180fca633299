//! A descriptor that a child has a copy of is known as such, in every interleaving of forks and looks.

use std::panic::catch_unwind;
use std::sync::Arc;

use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{Acquire, Release};
use loom::thread;

use crate::sync::AtomicU32;

/// A thread forks, a second one forks or not, and a third looks at a descriptor that was open before.
macro_rules! explore {
    ($subject:ident, $forks:expr) => {
        loom::model(|| {
            use crate::subjects::$subject::fork_count::ForkCount;
            let count = ForkCount { ended: AtomicU32::new(0), going_on: AtomicU32::new(0) };
            let count = Arc::new(count);
            let is_copied = Arc::new(AtomicBool::new(false));
            let seen = count.seen();
            let forks: Vec<_> = (0..$forks)
                .map(|_| {
                    let (count, is_copied) = (Arc::clone(&count), Arc::clone(&is_copied));
                    thread::spawn(move || {
                        count.begin();
                        is_copied.store(true, Release); // The kernel's part.
                        count.end();
                    })
                })
                .collect();
            // The kernel's table of descriptors has a lock: what it shows was done before.
            if is_copied.load(Acquire) {
                assert!(count.happened_since(seen), "a copied descriptor looks like the only one");
            }
            for fork in forks {
                fork.join().expect("a fork of the model does not panic");
            }
            assert!(count.happened_since(seen), "a fork has ended");
            assert!(!count.happened_since(count.seen()), "none has since");
        })
    };
}

#[test]
fn l7_a_copied_descriptor_is_known() {
    explore!(shipped, 1);
    explore!(shipped, 2);
}

macro_rules! caught {
    ($($subject:ident on $forks:literal;)*) => {
        $(#[test]
        fn $subject() {
            assert!(catch_unwind(|| explore!($subject, $forks)).is_err(), "the bug is not caught");
        })*
    };
}

caught! {
    forks_counted_before_marks on 1;
    forks_without_an_order on 1;
    forks_uncounted_when_unmarked on 1;
}
