//! systemd services that notify it, as in `docs/run.md`: under `locket run -F`, and under `locket run` with
//! `NotifyAccess=all`. When such a service is stopped, systemd signals each process of its control group, and the command
//! gets the signal once.

use std::fs;
use std::process::Command;

use crate::running::{LOCKET, has};
use crate::support::Scratch;

/// Reports that it is ready, and counts the signals that ask it to end.
const SERVICE: &str = "#!/usr/bin/env python3
import os, signal, socket, sys, time
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'].replace('@', '\\0', 1))
while not ended:
    time.sleep(0.001)
deadline = time.monotonic() + 0.3
while time.monotonic() < deadline:
    time.sleep(0.001)
with open(sys.argv[1], 'w') as output:
    output.write('%d' % len(ended))
";

/// A user manager of systemd in namespaces of its own, with a /run of its own.
const MANAGER: &str = r#"
[ -e /sys/fs/cgroup/cgroup.procs ] || [ -e /sys/fs/cgroup/systemd ] || mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/user /run/home || exit 1
export XDG_RUNTIME_DIR=/run/user HOME=/run/home SYSTEMD_UNIT_PATH="$1/units" DBUS_SESSION_BUS_ADDRESS=
/lib/systemd/systemd --user --log-target=null & manager=$!
turns=0
until systemctl --user is-system-running >/dev/null 2>&1; do
    turns=$((turns + 1)); [ $turns -lt 100 ] || exit 1; sleep 0.1
done
[ -n "$2" ] || exit 0
systemctl --user start "$2" 2>/dev/null && echo started
systemctl --user stop "$2"
cat "$1/output" 2>/dev/null
kill $manager
"#;

fn managed(scratch: &Scratch, service: &str) -> Option<String> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c"]);
    command.args([MANAGER, "sh"]).arg(scratch.path()).arg(service);
    let output = command.output().ok().filter(|output| output.status.code() != Some(1))?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_service_that_notifies_systemd_runs_under_a_lock() {
    let check = "a_service_that_notifies_systemd_runs_under_a_lock";
    if !has(check, "python3", &["-c", ""]) || !has(check, "systemctl", &["--version"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = |name: &str| scratch.join(name).display().to_string();
    fs::create_dir(path("units")).expect("the directory should be writable");
    crate::running::make_script(&scratch.join("service"), SERVICE);
    let unit = |name: &str, lines: &str| {
        fs::write(scratch.join("units").join(name), lines)
            .expect("the directory should be writable");
    };
    for target in ["basic.target", "shutdown.target", "default.target"] {
        unit(target, "[Unit]\nDescription=none\nDefaultDependencies=no\n");
    }
    let (service, lock, output) = (path("service"), path("test.lock"), path("output"));
    let of = |options: &str, more: &str| {
        format!(
            "[Service]\nType=notify\nTimeoutStartSec=2\n{more}ExecStart={LOCKET} run {options} {lock} {service} {output}\n"
        )
    };
    unit("become.service", &of("-F", ""));
    unit("all.service", &of("", "NotifyAccess=all\n"));
    unit("main.service", &of("", ""));
    if managed(&scratch, "").is_none() {
        crate::support::skip(check, "systemd: no manager of services can be started here");
        return;
    }
    for service in ["become.service", "all.service"] {
        let _ = fs::remove_file(&output);
        assert_eq!(managed(&scratch, service).as_deref(), Some("started\n1"), "{service}");
    }
    // Without either option systemd does not accept the command's notification.
    let _ = fs::remove_file(&output);
    let output = managed(&scratch, "main.service").expect("there is a manager");
    assert!(!output.contains("started"), "{output}");
}
