//! The command line: what cargo passes to every benchmark, and what a person may.

const USAGE: &str = "usage: cargo bench [--bench NAME]... [-- [--quick] [--plot] [FILTER]...]
  --quick  a few samples of everything, to see that all of it runs (as `cargo test --benches` does)
  --plot   write the pictures and the figures they show to benches/figures
  FILTER   run only the benchmarks whose names contain it";

pub(crate) struct Args {
    pub(crate) quick: bool,
    pub(crate) plot: bool,
}

impl Args {
    /// `None`: nothing is to be run.
    pub(crate) fn parse(bench: &str) -> Option<Self> {
        let (mut by_cargo_bench, mut quick, mut plot, mut list) = (false, false, false, false);
        let mut filters = Vec::new();
        for arg in std::env::args().skip(1) {
            match arg.as_str() {
                "--bench" => by_cargo_bench = true,
                "--quick" | "--test" => quick = true,
                "--plot" => plot = true,
                "--list" => list = true,
                flag if flag.starts_with('-') => {
                    eprintln!("unknown option {flag}\n{USAGE}");
                    std::process::exit(2);
                }
                filter => filters.push(filter.to_owned()),
            }
        }
        let wanted = filters.is_empty() || filters.iter().any(|filter| bench.contains(filter));
        // Without `--bench` this is `cargo test`, which asks whether it runs, not how fast.
        (wanted && !list).then_some(Self { quick: quick || !by_cargo_bench, plot })
    }

    /// For the benchmark whose options are criterion's: our part of it runs when nothing is asked
    /// for but a plain run.
    pub(crate) fn beside_criterion() -> Option<Self> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let plain = |arg: &String| matches!(arg.as_str(), "--bench" | "--quick" | "--test");
        let has = |wanted: &str| args.iter().any(|arg| arg == wanted);
        let quick = has("--quick") || has("--test") || !has("--bench");
        args.iter().all(plain).then_some(Self { quick, plot: false })
    }

    /// How much of something is measured.
    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}
