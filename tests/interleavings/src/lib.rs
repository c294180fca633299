//! Locket's ledger and acquisition loop, as shipped, in every interleaving.
//!
//! The library's own source files are compiled here over loom's locks (`sync`) and a model kernel (`os`). Each action of a
//! ledger or of the kernel is also a step of the formal model, taken in the same critical section (`oracle`). The model
//! must give the same answer. The set of all outcomes of a scenario must be exactly the set that the model allows
//! (`allowed`).
//!
//! Several *processes* are several registries over one kernel.
//!
//! | module | what it is |
//! |---|---|
//! | `scenario` | a few threads with their steps; loom runs all their interleavings |
//! | `allowed` | all outcomes that the model allows for a scenario |
//! | `oracle` | the model, stepped with the code |
//! | `sync`, `os`, `report` | replacements of library modules |
//! | `mutations` | the bugs in the shipped files, and what shows them: `build.rs` makes a subject of each |
//! | `forks` | the count of forks |
//! | `laws`, `seeded` | the tests: the shipped code passes, each seeded bug is caught |
#![cfg(test)]

mod allowed;
#[path = "../../../src/deadline.rs"]
mod deadline;
#[allow(dead_code, unreachable_pub, reason = "the library's public face is not used here")]
#[path = "../../../src/error.rs"]
mod error;
#[path = "../../../src/fairness.rs"]
mod fairness;
#[macro_use]
mod forks;
mod laws;
#[allow(dead_code, unreachable_pub, reason = "the library's public face is not used here")]
#[path = "../../../src/observer.rs"]
mod observer;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "not every option means something to the model kernel"
)]
#[path = "../../../src/options.rs"]
mod options;
mod oracle;
#[allow(dead_code, reason = "not every call of the platform is made in the model")]
mod os;
mod program;
mod report;
mod scenario;
mod seeded;
mod subject;
mod sync;
#[path = "../../../src/weak_map.rs"]
mod weak_map;

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    unused_mut,
    reason = "as shipped, or with a bug"
)]
#[allow(clippy::all, clippy::pedantic, reason = "bugs are ugly")]
mod subjects {
    include!(concat!(env!("OUT_DIR"), "/subjects.rs"));
}
