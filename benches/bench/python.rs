//! The Python of this machine, and the libraries for the comparison.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::ways::Way;

/// Names the Python to use. Without it: the Python that `ci/setup.sh` installs, or `python3`.
const VARIABLE: &str = "LOCKET_PYTHON";
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python/bin/python");

pub(crate) const SCRIPT: &str = include_str!("peer.py");

pub(crate) struct Python {
    program: OsString,
    locket: Result<String, String>,
    filelock: Result<String, String>,
}

impl Python {
    /// Finds the Python and its libraries' versions. Warns immediately of a missing library, before a long run.
    pub(crate) fn find() -> Self {
        let default = if Path::new(INSTALLED).exists() { INSTALLED } else { "python3" };
        let program = env::var_os(VARIABLE).unwrap_or_else(|| default.into());
        let version = |module: &str| {
            let version = version(&program, module);
            if let Err(why) = &version {
                eprintln!("WARNING: {module} (Python) is missing from this run: {why}");
            }
            version
        };
        let (locket, filelock) = (version("locket"), version("filelock"));
        Self { program, locket, filelock }
    }

    /// Returns why this way cannot be measured here, or `None`.
    pub(crate) fn missing(&self, way: Way) -> Option<&str> {
        self.version(way).err()
    }

    fn version(&self, way: Way) -> Result<&str, &str> {
        let version = match way {
            Way::LocketPy => &self.locket,
            Way::Filelock => &self.filelock,
            _ => return Ok(""),
        };
        version.as_deref().map_err(String::as_str)
    }

    pub(crate) fn versions(&self) -> String {
        let name = |way: Way, name| self.version(way).map(|version| format!("{name} {version}"));
        let found = [name(Way::LocketPy, "locket.py"), name(Way::Filelock, "filelock")];
        let found: Vec<String> = found.into_iter().flatten().collect();
        if found.is_empty() { "no Python libraries".into() } else { found.join(", ") }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-c", SCRIPT]);
        command
    }
}

fn version(program: &OsString, module: &str) -> Result<String, String> {
    let script =
        format!("import {module}, importlib.metadata as m; print(m.version(\"{module}\"))");
    let name = program.to_string_lossy();
    let output = Command::new(program).args(["-c", &script]).output();
    match output {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(_) => Err(format!("{module} cannot be imported ({VARIABLE} names another Python)")),
        Err(error) => Err(format!("{name}: {error} ({VARIABLE} names another Python)")),
    }
}
