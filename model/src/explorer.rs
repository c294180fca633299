//! Explicit-state model checking: a breadth-first search of every state that a [`System`] can reach.
//!
//! - [`explore`] checks every state and every step; a violation has a shortest trace.
//! - [`always_reachable`] checks that a goal can be reached from *every* reachable state (`AG EF` in
//!   CTL).
//! - [`find_lasso`] finds an infinite run that never reaches the goal.
//! - [`observable_traces`] lists everything that can be observed of a system that terminates.

mod visited;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt::{self, Display};
use std::hash::Hash;

use self::visited::{EMPTY, Visited};

/// A transition system.
pub trait System {
    /// A state of the whole system.
    type State: Clone + Eq + Hash;
    /// One atomic step. Its `Display` is a line of a trace.
    type Step: Clone + Display;

    /// Returns the initial state.
    fn initial(&self) -> Self::State;

    /// Returns every possible step with the state after it.
    fn successors(&self, state: &Self::State) -> Vec<(Self::Step, Self::State)>;

    /// Returns one representative of all states that differ only in names. It must commute with
    /// [`System::successors`]; a test compares a search with and without it.
    fn canonical(&self, state: Self::State) -> Self::State {
        state
    }

    /// Checks the invariants of a state.
    ///
    /// # Errors
    /// Returns the broken law.
    fn check(&self, state: &Self::State) -> Result<(), BrokenLaw>;

    /// Checks the laws of a step.
    ///
    /// # Errors
    /// Returns the broken law.
    fn check_step(
        &self,
        from: &Self::State,
        step: &Self::Step,
        to: &Self::State,
    ) -> Result<(), BrokenLaw>;
}

/// A law that does not hold, without the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenLaw {
    /// The name of the law.
    pub law: &'static str,
    /// What was found.
    pub detail: String,
}

/// The size of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of distinct states.
    pub states: usize,
    /// The number of steps between them.
    pub transitions: usize,
    /// The largest distance of a state from the initial state.
    pub depth: usize,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, transitions, depth } = self;
        write!(f, "{states} states, {transitions} transitions, depth {depth}")
    }
}

/// A broken law with a shortest trace to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The law.
    pub broken: BrokenLaw,
    /// The steps from the initial state.
    pub trace: Vec<String>,
    /// The number of states visited before.
    pub states: usize,
}

impl Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BrokenLaw { law, detail } = &self.broken;
        writeln!(
            f,
            "{law}: {detail}, after {} states and {} steps:",
            self.states,
            self.trace.len()
        )?;
        self.trace.iter().zip(1..).try_for_each(|(line, n)| writeln!(f, "{n:3}. {line}"))
    }
}

/// Visits every reachable state and checks every state and every step.
///
/// # Errors
/// Returns the first broken law with a shortest trace.
pub fn explore<S: System>(system: &S) -> Result<Report, Box<Violation>> {
    search(system, |_, _, _| ()).map(|(_, report)| report)
}

/// Calls [`explore`] and returns all reachable states.
///
/// # Errors
/// Returns the first broken law with a shortest trace.
pub fn reachable<S: System>(system: &S) -> Result<Vec<S::State>, Box<Violation>> {
    search(system, |_, _, _| ()).map(|(visited, _)| visited.states)
}

/// Calls [`explore`], then checks that every reachable state in which `waits` holds has a path of
/// `allowed` steps to a state in which `arrives` holds.
///
/// # Errors
/// Returns the first broken law, or a shortest trace to a state that has no such path.
pub fn always_reachable<S: System>(
    system: &S,
    waits: impl Fn(&S::State) -> bool,
    allowed: impl Fn(&S::State, &S::Step) -> bool,
    arrives: impl Fn(&S::State) -> bool,
) -> Result<Report, Box<Violation>> {
    let mut transitions: Vec<(u32, u32)> = Vec::new(); // from the target to the source
    let (visited, report) = search(system, |from, step, (at, to)| {
        if allowed(from, step) {
            transitions.push((to, at));
        }
    })?;
    transitions.sort_unstable();
    let mut can: Vec<bool> = visited.states.iter().map(&arrives).collect();
    let mut todo: Vec<u32> = (0..).zip(&can).filter(|&(_, &can)| can).map(|(at, _)| at).collect();
    while let Some(to) = todo.pop() {
        let first = transitions.partition_point(|edge| edge.0 < to);
        for &(_, from) in transitions[first..].iter().take_while(|edge| edge.0 == to) {
            if !std::mem::replace(&mut can[from as usize], true) {
                todo.push(from);
            }
        }
    }
    match (0..).zip(&visited.states).find(|&(at, state)| !can[at as usize] && waits(state)) {
        None => Ok(report),
        Some((at, _)) => {
            let broken = BrokenLaw {
                law: "always reachable",
                detail: "the goal cannot be reached from this state".into(),
            };
            Err(Box::new(violation_at(system, &visited, broken, at, None)))
        }
    }
}

/// An infinite run: a prefix and a cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lasso {
    /// The steps before the cycle.
    pub stem: Vec<String>,
    /// The steps of the cycle.
    pub cycle: Vec<String>,
}

impl Display for Lasso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = 1..;
        for line in &self.stem {
            writeln!(f, "{:3}. {line}", numbers.next().unwrap_or(0))?;
        }
        writeln!(f, "     repeated forever:")?;
        self.cycle.iter().zip(numbers).try_for_each(|(line, n)| writeln!(f, "{n:3}. {line}"))
    }
}

/// Finds an infinite run in which `stays` holds in every state of the cycle and at least one step of
/// the cycle is `progress`. Returns `None` if there is none. The system must have no symmetry
/// reduction: a cycle that returns under other names is not a cycle.
///
/// # Errors
/// Returns a broken law, as [`explore`] does.
pub fn find_lasso<S: System>(
    system: &S,
    stays: impl Fn(&S::State) -> bool,
    progress: impl Fn(&S::State, &S::Step) -> bool,
) -> Result<Option<Lasso>, Box<Violation>> {
    let mut starts: Vec<(u32, u32)> = Vec::new();
    let (visited, _) = search(system, |from, step, (at, to)| {
        if stays(from) && progress(from, step) {
            starts.push((at, to));
        }
    })?;
    // A step of progress that leads back to its own source while `stays` holds is part of a cycle.
    for (from, first) in starts {
        let (goal, begin) = (&visited.states[from as usize], &visited.states[first as usize]);
        if !stays(begin) {
            continue;
        }
        let mut seen = HashSet::from([begin.clone()]);
        let mut todo = VecDeque::from([(begin.clone(), vec![begin.clone()])]);
        while let Some((state, path)) = todo.pop_front() {
            if &state == goal {
                let stem = visited.path(from);
                let mut cycle = vec![goal.clone()];
                cycle.extend(path);
                return Ok(Some(Lasso {
                    stem: describe(system, &stem),
                    cycle: describe(system, &cycle),
                }));
            }
            for (_, next) in system.successors(&state) {
                if stays(&next) && seen.insert(next.clone()) {
                    let mut path = path.clone();
                    path.push(next.clone());
                    todo.push_back((next, path));
                }
            }
        }
    }
    Ok(None)
}

/// Returns everything that can be observed of a system that always terminates: for each complete
/// run, the sequence of the values that `observe` returns for its steps.
pub fn observable_traces<S: System, T: Clone + Ord + Hash>(
    system: &S,
    observe: impl Fn(&S::State, &S::Step, &S::State) -> Option<T>,
) -> BTreeSet<Vec<T>> {
    let mut complete = BTreeSet::new();
    let start = (system.initial(), Vec::new());
    let mut seen = HashSet::from([start.clone()]);
    let mut todo = vec![start];
    while let Some((state, log)) = todo.pop() {
        let steps = system.successors(&state);
        if steps.is_empty() {
            complete.insert(log);
            continue;
        }
        for (step, next) in steps {
            let mut log = log.clone();
            log.extend(observe(&state, &step, &next));
            if seen.insert((next.clone(), log.clone())) {
                todo.push((next, log));
            }
        }
    }
    complete
}

type Visit<S> = (Visited<S>, Report);

fn search<S: System>(
    system: &S,
    mut edge: impl FnMut(&S::State, &S::Step, (u32, u32)),
) -> Result<Visit<S::State>, Box<Violation>> {
    let mut visited = Visited::new();
    let mut report = Report::default();
    let start = system.canonical(system.initial());
    let sound = system.check(&start);
    visited.insert(start, EMPTY);
    if let Err(broken) = sound {
        return Err(Box::new(violation_at(system, &visited, broken, 0, None)));
    }
    let mut at = 0;
    let mut level_end = 1;
    while let Some(state) = visited.states.get(at as usize).cloned() {
        if at as usize == level_end {
            report.depth += 1;
            level_end = visited.states.len();
        }
        for (step, next) in system.successors(&state) {
            let (to, new) = visited.insert(system.canonical(next.clone()), at);
            let sound = if new { system.check(&next) } else { Ok(()) };
            let sound = sound.and_then(|()| system.check_step(&state, &step, &next));
            if let Err(broken) = sound {
                return Err(Box::new(violation_at(system, &visited, broken, at, Some(next))));
            }
            report.transitions += 1;
            edge(&state, &step, (at, to));
        }
        at += 1;
    }
    report.states = visited.states.len();
    Ok((visited, report))
}

/// Makes the trace of a broken law: the path to a state, and the last step if there is one.
fn violation_at<S: System>(
    system: &S,
    visited: &Visited<S::State>,
    broken: BrokenLaw,
    at: u32,
    last: Option<S::State>,
) -> Violation {
    let mut path = visited.path(at);
    path.extend(last.map(|state| system.canonical(state)));
    Violation { broken, trace: describe(system, &path), states: visited.states.len() }
}

/// Returns a path as lines. Its states are representatives; the names of the first state are kept.
fn describe<S: System>(system: &S, path: &[S::State]) -> Vec<String> {
    let Some(mut state) = path.first().cloned() else { return Vec::new() };
    let mut lines = Vec::new();
    for goal in &path[1..] {
        let leads = |(_, next): &(S::Step, S::State)| system.canonical(next.clone()) == *goal;
        let Some((step, next)) = system.successors(&state).into_iter().find(leads) else {
            lines.push(
                "(no step leads there: `canonical` does not commute with `successors`)".into(),
            );
            break;
        };
        lines.push(step.to_string());
        state = next;
    }
    lines
}
