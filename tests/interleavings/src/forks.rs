//! The shipped count of forks, in every interleaving with the kernel's copying of the descriptor table.
//!
//! L7, L11: if a child has a copy of a descriptor, the count shows it.

/// The kernel's table of descriptors: one descriptor that may be open, and the number of children with a copy of it.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) is_open: bool,
    pub(crate) copies: usize,
}

/// Explores a thread that opens a descriptor, with threads that fork once each.
macro_rules! explore_forks {
    ($subject:ident, $forkers:expr) => {{
        loom::model(|| {
            use loom::sync::{Arc, Mutex};
            use loom::thread;

            use crate::forks::Table;
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
    explore_forks!(shipped, 1);
    explore_forks!(shipped, 2);
}
