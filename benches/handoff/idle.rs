//! What a long wait costs: processor time, and how often the waiter is woken for nothing.

use std::thread;
use std::time::Duration;

use crate::Bench;
use crate::bench::processes::Worker;
use crate::bench::required::{Bound, Required};
use crate::bench::stats::median;
use crate::bench::sys::Raw;
use crate::bench::table::{Report, Table, count, time};
use crate::bench::ways::Way;
use crate::bench::{Result, sane};

/// The untimed ones are granted the lock at the end, the others give up.
const WAYS: [Way; 6] =
    [Way::Flock, Way::LocketUntimed, Way::LocketTimed, Way::Poller, Way::LocketPy, Way::Filelock];

struct Wait {
    way: Way,
    worker: Worker,
    holder: Raw,
    cpu: Vec<f64>,
    switches: Vec<f64>,
}

impl Wait {
    fn is_timed(&self) -> bool {
        !matches!(self.way, Way::Flock | Way::LocketUntimed)
    }

    fn begin(&mut self, length: Duration) -> Result {
        let command =
            if self.is_timed() { format!("expire {}", length.as_nanos()) } else { "wait".into() };
        self.holder.lock()?;
        self.worker.wait_with(&command)
    }

    #[allow(clippy::cast_precision_loss)]
    fn end(&mut self) -> Result {
        if !self.is_timed() {
            self.holder.unlock()?;
        }
        let [_, cpu, switches] = self.worker.numbers()?;
        if self.is_timed() {
            self.holder.unlock()?;
        }
        self.cpu.push(cpu as f64);
        self.switches.push(switches as f64);
        Ok(())
    }
}

/// All wait at the same time, each for a lock of its own.
pub(crate) fn measure(bench: Bench<'_>, report: &mut Report, required: &mut Required) -> Result {
    let length = bench.args.pick(Duration::from_secs(5), Duration::from_millis(300));
    let rounds = bench.args.pick(3, 1);
    let present = |way: &Way| bench.python.missing(*way).is_none();
    let start = |way| {
        let (worker, holder) = (bench.start(way)?, Raw::open(&bench.lock_file_of(way))?);
        Ok(Wait { way, worker, holder, cpu: Vec::new(), switches: Vec::new() })
    };
    let mut waits: Vec<Wait> =
        WAYS.into_iter().filter(present).map(start).collect::<Result<_>>()?;
    // The first wait of a process also pays for what it touches for the first time.
    for wait in &mut waits {
        wait.begin(Duration::from_millis(50))?;
        wait.end()?;
        wait.cpu.clear();
        wait.switches.clear();
    }
    for _ in 0..rounds {
        waits.iter_mut().try_for_each(|wait| wait.begin(length))?;
        thread::sleep(length);
        waits.iter_mut().try_for_each(Wait::end)?;
    }

    let title = format!("A wait of {}", time(length.as_secs_f64() * 1e9));
    let header = ["waiter", "processor time", "voluntary switches", "of waits"];
    let mut table = Table::new(title, &header);
    for way in WAYS {
        if let Some(why) = bench.python.missing(way) {
            table.missing(way.label(), why);
            continue;
        }
        let wait = waits.iter().find(|wait| wait.way == way).ok_or("a wait was lost")?;
        let sound = wait.cpu.len() == rounds && wait.switches.iter().all(|&count| count >= 1.0);
        sane(sound, || format!("{way:?}: {:?} ns, {:?} switches", wait.cpu, wait.switches))?;
        let (cpu, switches) = (median(&wait.cpu), median(&wait.switches));
        table.row([way.label().into(), time(cpu), count(switches), rounds.to_string()]);
    }
    report.add(&table);
    require(&waits, length, required);
    Ok(())
}

fn require(waits: &[Wait], length: Duration, required: &mut Required) {
    let find = |way| waits.iter().find(|wait: &&Wait| wait.way == way);
    let (Some(limit), Some(timed)) = (find(Way::Flock), find(Way::LocketTimed)) else { return };
    let length = time(length.as_secs_f64() * 1e9);
    let [least, cpu] = [limit, timed].map(|wait| median(&wait.cpu));
    let what = format!("processor time of a timed wait of {length}");
    required.row(&what, (time(least), time(cpu)), cpu, &Bound::AtMost(300_000.0), time);
    let [least, switches] = [limit, timed].map(|wait| median(&wait.switches));
    let what = format!("voluntary switches of a timed wait of {length}");
    let figures = (count(least), count(switches));
    required.row(&what, figures, switches, &Bound::AtMost(5.0), count);
}
