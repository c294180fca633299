//! Locket's ledger and acquisition loop, as shipped, in every interleaving.
//!
//! The library's own source files are compiled here over loom's locks (`sync`) and a model kernel
//! (`os`). Whatever a ledger or the kernel does is done in the formal model as well, in the same
//! critical section (`oracle`), and must get the same answer; and what a scenario can end like in
//! all its interleavings must be just what the model allows (`allowed`).
//!
//! Several *processes* are several registries over one kernel.
//!
//! | module | what it is |
//! |---|---|
//! | `scenario` | programs of a few threads, and all their interleavings by loom |
//! | `allowed` | all the ways in which the model lets a scenario end |
//! | `oracle` | the model in step with the code |
//! | `sync`, `os` | what the library's files are compiled over |
//! | `mutations` | bugs in the shipped files: `build.rs` makes a subject of each |
//! | `forks` | which descriptors a fork has copied |
//! | `laws`, `seeded` | the tests: the shipped code is right, each seeded bug is caught |
#![cfg(test)]

mod allowed;
#[path = "../../../src/courtesy.rs"]
mod courtesy;
#[path = "../../../src/deadline.rs"]
mod deadline;
#[path = "../../../src/diagnosis.rs"]
mod diagnosis;
#[allow(dead_code, unreachable_pub, reason = "the library's public face is not used here")]
#[path = "../../../src/error.rs"]
mod error;
mod forks;
#[allow(dead_code, unreachable_pub, reason = "the library's public face is not used here")]
#[path = "../../../src/holders.rs"]
mod holders;
#[allow(dead_code, unreachable_pub, reason = "the library's public face is not used here")]
#[path = "../../../src/kind.rs"]
mod kind;
mod laws;
#[allow(dead_code, reason = "only the build uses the texts")]
mod mutations;
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
mod os;
#[path = "../../../src/plain.rs"]
mod plain;
mod program;
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
