//! systemd services that notify it, as in `docs/run.md`: under `locket run -F`, and under `locket run` with
//! `NotifyAccess=all`. When such a service is stopped, systemd signals each process of its control group, and the command
//! gets the signal once.

use crate::lock_file::{LockFile, answer, make_script};
use crate::support::skip;

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

/// Starts and stops the service `$1` by a user manager of systemd in namespaces of its own, with a /run of its own. Without a
/// manager, exits with 1. The services lock `f` and write `output`, in the current directory.
const MANAGER: &str = r#"
mkdir -p units; rm -f output
for target in basic shutdown default; do
    printf '[Unit]\nDescription=none\nDefaultDependencies=no\n' >units/$target.target
done
unit() {
    printf '[Service]\nType=notify\nTimeoutStartSec=2\n%s\nExecStart=%s run %s %s/f %s/service %s/output\n' \
        "$2" "$L" "$3" "$PWD" "$PWD" "$PWD" >units/$1.service
}
unit become '' -F
unit all NotifyAccess=all ''
unit main '' ''
[ -e /sys/fs/cgroup/cgroup.procs ] || [ -e /sys/fs/cgroup/systemd ] || mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/user /run/home || exit 1
export XDG_RUNTIME_DIR=/run/user HOME=/run/home SYSTEMD_UNIT_PATH="$PWD/units" DBUS_SESSION_BUS_ADDRESS=
/lib/systemd/systemd --user --log-target=null & manager=$!
turns=0
until systemctl --user is-system-running >/dev/null 2>&1; do
    turns=$((turns + 1)); [ $turns -lt 100 ] || exit 1; sleep 0.1
done
[ -n "$1" ] || exit 0
systemctl --user start "$1" 2>/dev/null && echo started
systemctl --user stop "$1"
cat output 2>/dev/null
kill $manager
"#;

#[test]
fn a_service_that_notifies_systemd_runs_under_a_lock() {
    needs!("python3 --version", "systemctl --version");
    let lock = LockFile::new();
    make_script(lock.beside("service"), SERVICE);
    let managed = |service: &str| {
        let namespaces = ["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
        let words = [&namespaces[..], &["sh", "-c", MANAGER, "sh", service]].concat();
        let run = lock.command("unshare", &words).assert();
        (run.get_output().status.code() != Some(1)).then(|| answer(&run))
    };
    if managed("").is_none() {
        let check = "a_service_that_notifies_systemd_runs_under_a_lock";
        return skip(check, "systemd: no manager of services can be started here");
    }
    for service in ["become.service", "all.service"] {
        assert_eq!(managed(service).as_deref(), Some("started\n1"), "{service}");
    }
    // Without either option systemd does not accept the command's notification.
    let output = managed("main.service").expect("there is a manager");
    assert!(!output.contains("started"), "{output}");
}
