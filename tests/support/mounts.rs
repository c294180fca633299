//! Peers that see other file systems than the test.

use std::path::Path;
use std::process::Command;

use super::peer::Peer;
use super::skip::skip_this;

impl Peer {
    /// Starts a peer in a new mount namespace that the script sets up; `$0` is the directory. Skips the test and returns
    /// `None` if that is not possible here.
    #[track_caller]
    pub(crate) fn with_mounts(directory: &Path, script: &str) -> Option<Self> {
        Self::with_namespaces("-m", directory, script)
    }

    /// The same with further namespaces, which `unshared` tells unshare(1).
    #[track_caller]
    pub(crate) fn with_namespaces(unshared: &str, directory: &Path, script: &str) -> Option<Self> {
        let directory = directory.to_str().expect("the path is UTF-8");
        let script = format!("set -e; {script}; shift; exec \"$@\"");
        let wrapper = ["unshare", unshared, "sh", "-c", &script, directory, "--"];
        let tried = Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").output();
        if !tried.as_ref().is_ok_and(|output| output.status.success()) {
            skip_this(&format!("mounts or namespaces: cannot be made here: {tried:?}"));
            return None;
        }
        Some(Self::under(&wrapper))
    }
}
