//! The formal model of Locket, an inter-process lock named by a file.
//!
//! | to learn | read |
//! |---|---|
//! | what a correct lock does | [`spec`]: a state machine and one pure step function |
//! | how the real one does it | [`protocol`]: system calls and ledger steps, over a model of `flock` |
//! | why that is correct | [`explorer`]: every reachable state, with stories of what would go wrong |
//! | whether a real run was correct | [`judge`](mod@judge): calls with times; [`search`]: the same, exact and slow |
//!
//! `README.md` says what is proved, to what bound, by which command, and what is not.
//!
//! The crate depends on nothing and never on the lock itself: an oracle that shares code with its
//! subject cannot disagree with it. Tests import both, in three ways.
//!
//! **As the reference of a state-machine test** ([`World`] is pure, and cheap to clone):
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
//! **As the oracle beside a model system** (in loom tests: a step of the world at each linearization
//! point, and the answer compared), with [`observations`](explorer::observations) of a
//! [`Script`](protocol::Client::Script) for the set of all histories that there may be:
//!
//! ```
//! use locket_model::{Answer, Hold, Mode, Op, Stage, World};
//!
//! let mut oracle = World::default();
//! oracle.apply(Op::Name { path: 0, file: Some(0) });
//! let hold = |process| Hold {
//!     process,
//!     id: 1,
//!     path: 0,
//!     file: 0,
//!     mode: Mode::Exclusive,
//!     kept: true,
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
//!     "acquire 1 0 0 kept 7 exclusive forever 10 20 held\n\
//!      release 1 0 0 kept 50 60 released\n\
//!      acquire 2 0 0 guard=0 7 exclusive try 30 40 timed-out\n",
//! )?;
//! let verdict = judge(&history);
//! assert!(verdict.faults.is_empty(), "{}", explain(&history, &verdict));
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
pub use verdict::{Fault, JudgeBug, Verdict};
