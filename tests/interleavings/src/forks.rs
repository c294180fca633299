//! The shipped count of forks, in every interleaving with the kernel's copying of the descriptor table.
//!
//! L7, L11: if a child has a copy of a descriptor, the count shows it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::sync::{Arc, Mutex};
use loom::thread;

/// The kernel's table of descriptors: one descriptor that may be open, and the number of children with a copy of it.
#[derive(Default)]
struct Table {
    is_open: bool,
    copies: usize,
}

/// Explores a thread that opens a descriptor, with threads that fork once each.
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
            assert!(copies == 0 || count.happened_since(seen), "a copy was not noticed");
            for forker in forkers {
                forker.join().expect("no panic");
            }
            // After all forks, no child gets a copy of the file that is opened next.
            assert!(!count.happened_since(count.seen()), "a fork that has ended is still reported");
        });
    }};
}

#[test]
fn l7_every_copy_is_noticed() {
    explore!(shipped, 1);
    explore!(shipped, 2);
}

/// Tests of the check itself: with each bug a copy is not noticed.
macro_rules! seeded {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let exploration = catch_unwind(AssertUnwindSafe(|| explore!($name, 1)));
            let panic = exploration.expect_err("the bug was not caught");
            let report = panic.downcast_ref::<&str>().map(ToString::to_string);
            let report = report.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            assert!(report.contains("a copy was not noticed"), "{report}");
        }
    )*};
}

seeded! {
    fork_counted_only_after_its_end
    unfinished_fork_not_counted
    finished_fork_not_counted
}
