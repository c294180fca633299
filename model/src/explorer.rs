//! Exhaustive search: every state that a [`System`] can reach, breadth first.
//!
//! - [`explore`] checks every state and every step, and convicts with a shortest story;
//! - [`always_can`] shows that from *every* reachable state a goal can still be reached;
//! - [`endless`] finds a way to go on for ever without reaching it (a lasso);
//! - [`observations`] lists everything that can be seen of a system that comes to an end.

mod found;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt::{self, Display};
use std::hash::Hash;

use self::found::{FREE, Found};

/// What can be searched.
pub trait System {
    /// Everything there is at one instant.
    type State: Clone + Eq + Hash;
    /// One atomic step; it prints as a line of a story.
    type Step: Clone + Display;

    /// Where it begins.
    fn start(&self) -> Self::State;

    /// Every step that is possible, and where it leads.
    fn steps(&self, state: &Self::State) -> Vec<(Self::Step, Self::State)>;

    /// One representative of all states that differ only in names. It must commute with
    /// [`System::steps`]; a test compares a search with and without.
    fn canonical(&self, state: Self::State) -> Self::State {
        state
    }

    /// The invariants.
    ///
    /// # Errors
    /// What is broken.
    fn check(&self, state: &Self::State) -> Result<(), Broken>;

    /// What must hold of a step.
    ///
    /// # Errors
    /// What is broken.
    fn check_step(
        &self,
        from: &Self::State,
        step: &Self::Step,
        to: &Self::State,
    ) -> Result<(), Broken>;
}

/// A law that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which: the name of the checker.
    pub law: &'static str,
    /// How.
    pub how: String,
}

/// What was searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub edges: usize,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, edges, depth } = self;
        write!(f, "{states} states, {edges} edges, depth {depth}")
    }
}

/// A broken law, and a shortest way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conviction {
    /// The law.
    pub broken: Broken,
    /// The steps that lead there.
    pub story: Vec<String>,
    /// How many states had been seen by then.
    pub states: usize,
}

impl Display for Conviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { law, how } = &self.broken;
        writeln!(f, "{law}: {how}, after {} states and {} steps:", self.states, self.story.len())?;
        self.story.iter().zip(1..).try_for_each(|(line, n)| writeln!(f, "{n:3}. {line}"))
    }
}

/// Visits every reachable state and checks all of them and every step.
///
/// # Errors
/// The first broken law, by a shortest way.
pub fn explore<S: System>(system: &S) -> Result<Report, Box<Conviction>> {
    search(system, |_, _, _| ()).map(|(_, report)| report)
}

/// [`explore`], and gives all the states that were found.
///
/// # Errors
/// The first broken law, by a shortest way.
pub fn reachable<S: System>(system: &S) -> Result<Vec<S::State>, Box<Conviction>> {
    search(system, |_, _, _| ()).map(|(found, _)| found.states)
}

/// [`explore`], and shows that from every reachable state in which `waits` is true, some way of
/// `allowed` steps leads to a state in which `arrives` is true.
///
/// # Errors
/// The first broken law, or a shortest way to a state from which there is no arriving.
pub fn always_can<S: System>(
    system: &S,
    waits: impl Fn(&S::State) -> bool,
    allowed: impl Fn(&S::State, &S::Step) -> bool,
    arrives: impl Fn(&S::State) -> bool,
) -> Result<Report, Box<Conviction>> {
    let mut edges: Vec<(u32, u32)> = Vec::new(); // backwards
    let (found, report) = search(system, |from, step, (at, to)| {
        if allowed(from, step) {
            edges.push((to, at));
        }
    })?;
    edges.sort_unstable();
    let mut can: Vec<bool> = found.states.iter().map(&arrives).collect();
    let mut todo: Vec<u32> = (0..).zip(&can).filter(|&(_, &can)| can).map(|(at, _)| at).collect();
    while let Some(to) = todo.pop() {
        let first = edges.partition_point(|edge| edge.0 < to);
        for &(_, from) in edges[first..].iter().take_while(|edge| edge.0 == to) {
            if !std::mem::replace(&mut can[from as usize], true) {
                todo.push(from);
            }
        }
    }
    match (0..).zip(&found.states).find(|&(at, state)| !can[at as usize] && waits(state)) {
        None => Ok(report),
        Some((at, _)) => {
            let broken = Broken { law: "always can", how: "can never get in again".into() };
            Err(Box::new(convict(system, &found, broken, at, None)))
        }
    }
}

/// A way that never ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lasso {
    /// The steps that lead into it.
    pub stem: Vec<String>,
    /// The steps that go round and round.
    pub cycle: Vec<String>,
}

impl Display for Lasso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = 1..;
        for line in &self.stem {
            writeln!(f, "{:3}. {line}", numbers.next().unwrap_or(0))?;
        }
        writeln!(f, "     and then for ever:")?;
        self.cycle.iter().zip(numbers).try_for_each(|(line, n)| writeln!(f, "{n:3}. {line}"))
    }
}

/// A way along which `stays` is true for ever, of which a step that is `progress` is part: somebody
/// else gets on all the time. `None` if there is no such way. Needs a system without symmetry, for a
/// cycle that comes back under other names is none.
///
/// # Errors
/// A broken law, as [`explore`].
pub fn endless<S: System>(
    system: &S,
    stays: impl Fn(&S::State) -> bool,
    progress: impl Fn(&S::State, &S::Step) -> bool,
) -> Result<Option<Lasso>, Box<Conviction>> {
    let mut starts: Vec<(u32, u32)> = Vec::new();
    let (found, _) = search(system, |from, step, (at, to)| {
        if stays(from) && progress(from, step) {
            starts.push((at, to));
        }
    })?;
    // Where a step of progress leads back to itself while `stays` is true, there is a cycle.
    for (from, first) in starts {
        let (goal, begin) = (&found.states[from as usize], &found.states[first as usize]);
        if !stays(begin) {
            continue;
        }
        let mut seen = HashSet::from([begin.clone()]);
        let mut todo = VecDeque::from([(begin.clone(), vec![begin.clone()])]);
        while let Some((state, way)) = todo.pop_front() {
            if &state == goal {
                let stem = found.way(from);
                let mut cycle = vec![goal.clone()];
                cycle.extend(way);
                return Ok(Some(Lasso { stem: tell(system, &stem), cycle: tell(system, &cycle) }));
            }
            for (_, next) in system.steps(&state) {
                if stays(&next) && seen.insert(next.clone()) {
                    let mut way = way.clone();
                    way.push(next.clone());
                    todo.push_back((next, way));
                }
            }
        }
    }
    Ok(None)
}

/// The set of everything that can be observed of a system that always comes to an end: what
/// `observe` makes of each step of a complete run, in order.
pub fn observations<S: System, T: Clone + Ord + Hash>(
    system: &S,
    observe: impl Fn(&S::State, &S::Step, &S::State) -> Option<T>,
) -> BTreeSet<Vec<T>> {
    let mut complete = BTreeSet::new();
    let start = (system.start(), Vec::new());
    let mut seen = HashSet::from([start.clone()]);
    let mut todo = vec![start];
    while let Some((state, log)) = todo.pop() {
        let steps = system.steps(&state);
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

type Visit<S> = (Found<S>, Report);

fn search<S: System>(
    system: &S,
    mut edge: impl FnMut(&S::State, &S::Step, (u32, u32)),
) -> Result<Visit<S::State>, Box<Conviction>> {
    let mut found = Found::new();
    let mut report = Report::default();
    let start = system.canonical(system.start());
    let sound = system.check(&start);
    found.insert(start, FREE);
    if let Err(broken) = sound {
        return Err(Box::new(convict(system, &found, broken, 0, None)));
    }
    let mut at = 0;
    let mut level_end = 1;
    while let Some(state) = found.states.get(at as usize).cloned() {
        if at as usize == level_end {
            report.depth += 1;
            level_end = found.states.len();
        }
        for (step, next) in system.steps(&state) {
            let (to, new) = found.insert(system.canonical(next.clone()), at);
            let sound = if new { system.check(&next) } else { Ok(()) };
            let sound = sound.and_then(|()| system.check_step(&state, &step, &next));
            if let Err(broken) = sound {
                return Err(Box::new(convict(system, &found, broken, at, Some(next))));
            }
            report.edges += 1;
            edge(&state, &step, (at, to));
        }
        at += 1;
    }
    report.states = found.states.len();
    Ok((found, report))
}

/// The story of a broken law: the way to a state, and perhaps one step more.
fn convict<S: System>(
    system: &S,
    found: &Found<S::State>,
    broken: Broken,
    at: u32,
    last: Option<S::State>,
) -> Conviction {
    let mut way = found.way(at);
    way.extend(last.map(|state| system.canonical(state)));
    Conviction { broken, story: tell(system, &way), states: found.states.len() }
}

/// A way as lines. The states of the way are representatives; names are followed from the first.
fn tell<S: System>(system: &S, way: &[S::State]) -> Vec<String> {
    let Some(mut state) = way.first().cloned() else { return Vec::new() };
    let mut lines = Vec::new();
    for goal in &way[1..] {
        let leads = |(_, next): &(S::Step, S::State)| system.canonical(next.clone()) == *goal;
        let Some((step, next)) = system.steps(&state).into_iter().find(leads) else {
            lines.push("(no step leads there: `canonical` does not commute with `steps`)".into());
            break;
        };
        lines.push(step.to_string());
        state = next;
    }
    lines
}
