//! Which descriptors a fork has copied: the shipped count of forks, in every interleaving with the kernel's copy of the table
//! of descriptors.
//!
//! L7, L11: a descriptor that a child has a copy of is never taken for one that no child has.

use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::sync::{Arc, Mutex};
use loom::thread;

/// The kernel's table of descriptors: one that may be open, and the children that have got a copy of it.
#[derive(Default)]
struct Table {
    is_open: bool,
    copies: usize,
}

/// Explores a thread that opens a descriptor, beside threads that fork once each.
macro_rules! explore {
    ($subject:ident, $forkers:expr) => {{
        loom::model(|| {
            use crate::subjects::$subject::fork_count::ForkCount;
            use crate::sync::AtomicUsize;
            let count = ForkCount { begun: AtomicUsize::new(0), ended: AtomicUsize::new(0) };
            let shared = Arc::new((count, Mutex::new(Table::default())));
            let forkers: Vec<_> = (0..$forkers)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        let (count, table) = &*shared;
                        count.begin();
                        {
                            let mut table = table.lock().expect("no panic under it");
                            table.copies += usize::from(table.is_open);
                        }
                        count.end();
                    })
                })
                .collect();
            let (count, table) = &*shared;
            let seen = count.seen();
            table.lock().expect("no panic under it").is_open = true;
            let copies = table.lock().expect("no panic under it").copies;
            assert!(copies == 0 || count.happened_since(seen), "a copy went unnoticed");
            for forker in forkers {
                forker.join().expect("no panic");
            }
            // When all is over, no child has a copy of what is opened next.
            assert!(!count.happened_since(count.seen()), "a fork that is over is seen forever");
        });
    }};
}

#[test]
fn l7_a_copy_is_noticed() {
    explore!(shipped, 1);
    explore!(shipped, 2);
}

/// The check is checked: each bug lets a copy go unnoticed.
macro_rules! seeded {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let exploration = catch_unwind(AssertUnwindSafe(|| explore!($name, 1)));
            let panic = exploration.expect_err("the bug went unnoticed");
            let story = panic.downcast_ref::<&str>().map(ToString::to_string);
            let story = story.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            assert!(story.contains("a copy went unnoticed"), "{story}");
        }
    )*};
}

seeded! {
    fork_counts_from_its_end
    fork_that_goes_on_is_forgotten
    fork_ends_before_it_is_looked_for
}
