//! The formal model of Locket, an inter-process lock named by a file.
//!
//! | question | module |
//! |---|---|
//! | What does a correct lock do? | [`spec`]: a state machine with one pure step function |
//! | How does the real lock do it? | [`protocol`]: system calls and ledger steps over a model of `flock` |
//! | Is the protocol correct? | [`explorer`]: a search of every reachable state, with counterexamples |
//! | Was a real run correct? | [`judge`](mod@judge): a history of timed calls; [`search`]: the same, exact and slow |
//!
//! `README.md` says what is model-checked, within which bounds, by which command, and what is not.
//!
//! The crate has no dependencies and never uses the lock: an oracle that shares code with its subject
//! shares its bugs. Tests import both crates and use this one in three ways.
//!
//! **As the reference of a state-machine test** ([`World`] is pure and cheap to clone):
//!
//! ```
//! use locket_model::{Mode, Outcome, State, World};
//!
//! let (process, path) = (1, 1);
//! let world = World::default();
//! let (world, outcome) = world.acquire(process, path, 7, Mode::Exclusive, true);
//! assert_eq!(outcome, Outcome::Held);
//! let (world, outcome) = world.release(process, path, false);
//! assert_eq!((outcome, world.state(process, path)), (Outcome::Released, State::Unlocked));
//! let (world, outcome) = world.release(process, path, false);
//! assert_eq!((outcome, world.state(process, path)), (Outcome::NotLocked, State::ReleasedError));
//! ```
//!
//! **As the oracle beside a model system** (in loom tests: at each linearization point the world takes
//! the same step, and the answers are compared).
//! [`observable_traces`](explorer::observable_traces) of a [`Script`](protocol::Client::Script) returns
//! the set of all possible histories:
//!
//! ```
//! use locket_model::{Answer, Hold, Mode, Op, Stage, World};
//!
//! let mut oracle = World::default();
//! oracle.apply(Op::SetFile { path: 0, file: Some(0) });
//! let hold = |process| Hold {
//!     process,
//!     id: 1,
//!     path: 0,
//!     file: 0,
//!     mode: Mode::Exclusive,
//!     unguarded: true,
//!     stage: Stage::Granted,
//!     named: false,
//! };
//! assert_eq!(oracle.apply(Op::Lock { hold: hold(1) }), Answer::Granted);
//! assert_eq!(oracle.apply(Op::Lock { hold: hold(2) }), Answer::Contended);
//! oracle.apply(Op::Crash { process: 1 });
//! assert_eq!(oracle.apply(Op::Lock { hold: hold(2) }), Answer::Granted);
//! ```
//!
//! **As the judge of many processes**, from the lines that they wrote ([`history`]):
//!
//! ```
//! use locket_model::{History, judge, timeline::explain};
//!
//! let history = History::parse(
//!     "acquire 1 0 0 unguarded 7 exclusive forever 10 20 held\n\
//!      release 1 0 0 unguarded 50 60 released\n\
//!      acquire 2 0 0 guard=0 7 exclusive try 30 40 timed-out\n",
//! )?;
//! let verdict = judge(&history);
//! assert!(verdict.anomalies.is_empty(), "{}", explain(&history, &verdict));
//! assert_eq!((verdict.holds, verdict.timed_out), (1, 1));
//! # Ok::<(), locket_model::ParseError>(())
//! ```

mod bounds;
pub mod explorer;
pub mod history;
pub mod judge;
mod kernel;
mod laws;
pub mod list;
pub mod protocol;
pub mod search;
pub mod spec;
pub mod state;
mod system;
pub mod timeline;
pub mod verdict;

pub use history::{Attempt, Call, History, Kill, ParseError, Return, Time, Wait};
pub use judge::judge;
pub use spec::{Answer, Hold, Mode, Op, Outcome, Stage, State, World};
pub use verdict::{Anomaly, JudgeBug, Verdict};
