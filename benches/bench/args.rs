//! The command line: the options that cargo passes to every benchmark, and the options for users.

const USAGE: &str = "usage: cargo bench [--bench NAME]... [-- [--quick] [--plot] [FILTER]...]
  --quick  take a few samples of everything, to see that all of it runs (as `cargo test --benches` does)
  --plot   write the pictures and their figures to benches/figures
  FILTER   run only the benchmarks whose names contain it";

pub(crate) struct Args {
    pub(crate) quick: bool,
    pub(crate) plot: bool,
}

impl Args {
    /// Parses the arguments of the process. `None`: there is nothing to run.
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
        // Without `--bench` this is `cargo test`, which checks that the benchmark runs, not how fast it is.
        (wanted && !list).then_some(Self { quick: quick || !by_cargo_bench, plot })
    }

    /// Parses the arguments of the benchmark whose options are criterion's. `None` where there are options
    /// for criterion: then only criterion's part runs.
    pub(crate) fn beside_criterion() -> Option<Self> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let plain = |arg: &String| matches!(arg.as_str(), "--bench" | "--quick" | "--test");
        let has = |wanted: &str| args.iter().any(|arg| arg == wanted);
        let quick = has("--quick") || has("--test") || !has("--bench");
        args.iter().all(plain).then_some(Self { quick, plot: false })
    }

    /// Returns the amount to measure: `full`, or `quick` in a quick run.
    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}
