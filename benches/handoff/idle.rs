//! The cost of a long wait: processor time, and the number of voluntary context switches.

use std::thread;
use std::time::Duration;

use crate::Bench;
use crate::bench::processes::{Worker, lock_file_of};
use crate::bench::required::{Bound, Required};
use crate::bench::stats::median;
use crate::bench::sys::Raw;
use crate::bench::table::{Report, Table, count, ratio, time};
use crate::bench::ways::Way;
use crate::bench::{Result, sane};

use End::{Granted, TimesOut};

/// How the wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Granted,
    TimesOut,
}

impl End {
    const fn label(self) -> &'static str {
        match self {
            Self::Granted => "is granted",
            Self::TimesOut => "times out",
        }
    }
}

const WAITS: [(Way, End); 8] = [
    (Way::Flock, Granted),
    (Way::FlockTimed, Granted),
    (Way::LocketUntimed, Granted),
    (Way::LocketTimed, Granted),
    (Way::LocketTimed, TimesOut),
    (Way::Poller, TimesOut),
    (Way::LocketPy, TimesOut),
    (Way::Filelock, TimesOut),
];

struct Wait {
    way: Way,
    end: End,
    worker: Worker,
    holder: Raw,
    cpu: Vec<f64>,
    switches: Vec<f64>,
}

impl Wait {
    fn begin(&mut self, length: Duration) -> Result {
        let command = match self.end {
            Granted => "wait".into(),
            TimesOut => format!("expire {}", length.as_nanos()),
        };
        self.holder.lock()?;
        self.worker.wait_with(&command)
    }

    #[allow(clippy::cast_precision_loss)]
    fn end(&mut self) -> Result {
        if self.end == Granted {
            self.holder.unlock()?;
        }
        let [_, cpu, switches] = self.worker.numbers()?;
        if self.end == TimesOut {
            self.holder.unlock()?;
        }
        self.cpu.push(cpu as f64);
        self.switches.push(switches as f64);
        Ok(())
    }
}

/// Measures all ways at the same time, each with a lock of its own.
pub(crate) fn measure(bench: Bench<'_>, report: &mut Report, required: &mut Required) -> Result {
    let length = bench.args.pick(Duration::from_secs(5), Duration::from_millis(300));
    let rounds = bench.args.pick(3, 1);
    let present = |(way, _): &(Way, End)| bench.python.missing(*way).is_none();
    let mut dirs = Vec::new();
    let start = |(way, end)| {
        // A directory for each wait: two waits of one way have different locks.
        let dir = tempfile::tempdir_in(bench.dir)?;
        let path = lock_file_of(way, dir.path());
        dirs.push(dir);
        let (worker, holder) = (Worker::start(way, &path, bench.python)?, Raw::open(&path)?);
        Ok(Wait { way, end, worker, holder, cpu: Vec::new(), switches: Vec::new() })
    };
    let mut waits: Vec<Wait> =
        WAITS.into_iter().filter(present).map(start).collect::<Result<_>>()?;
    // A warm-up: the first wait of a process also takes page faults and other costs of a first use.
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
    let header = ["waiter", "end", "processor time", "voluntary switches", "of waits"];
    let mut table = Table::new(title, &header);
    for (way, end) in WAITS {
        if let Some(why) = bench.python.missing(way) {
            table.missing(way.label(), why);
            continue;
        }
        let wait = find(&waits, way, end).ok_or("a wait was lost")?;
        let sound = wait.cpu.len() == rounds && wait.switches.iter().all(|&count| count >= 1.0);
        sane(sound, || format!("{way:?}: {:?} ns, {:?} switches", wait.cpu, wait.switches))?;
        let (cpu, switches) = (median(&wait.cpu), median(&wait.switches));
        let [way, end] = [way.label(), end.label()].map(String::from);
        table.row([way, end, time(cpu), count(switches), rounds.to_string()]);
    }
    report.add(&table);
    require(&waits, length, required);
    Ok(())
}

fn find(waits: &[Wait], way: Way, end: End) -> Option<&Wait> {
    waits.iter().find(|wait| (wait.way, wait.end) == (way, end))
}

fn require(waits: &[Wait], length: Duration, required: &mut Required) {
    let length = time(length.as_secs_f64() * 1e9);
    // A granted wait is compared with the fewest system calls, and a wait that times out with polling. The figures are small, and
    // medians of three: the bounds are wide.
    let limits = [(Granted, Way::FlockTimed, Granted, 3.0), (TimesOut, Way::Poller, TimesOut, 0.5)];
    for (end, limit, limit_end, most) in limits {
        let (Some(limit), Some(timed)) =
            (find(waits, limit, limit_end), find(waits, Way::LocketTimed, end))
        else {
            return;
        };
        let what = format!(
            "processor time of a timed wait of {length} that {}, against {}",
            end.label(),
            limit.way.label()
        );
        let [least, cpu] = [limit, timed].map(|wait| median(&wait.cpu));
        let figures = (time(least), time(cpu));
        required.row(&what, figures, cpu / least, &Bound::AtMost(most), ratio);
        let what = format!("voluntary switches of a timed wait of {length} that {}", end.label());
        let [least, switches] = [limit, timed].map(|wait| median(&wait.switches));
        let figures = (count(least), count(switches));
        required.row(&what, figures, switches, &Bound::AtMost(5.0), count);
    }
}
