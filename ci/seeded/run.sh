# Bugs in what `locket run` does for the lock, the signals, the terminal and the status. Sourced by ci/seeded.sh.

title='locket run'

# `PROGRAM::MODULE::NAME`.
program_of() { echo "--test=${1%%::*}" "${1#*::}"; }

tests() { cargo test --quiet --package locket-tests $([[ $1 != --test=hostile ]] || echo --features=stress) "$@"; }

build() { tests "$1" --no-run; }

# A skipped check would count as one that does not see the bug.
run() { LOCKET_NO_SKIP=1 LOCKET_OUTLIVED=150 timeout 120 bash -c "$(declare -f tests); "'tests "$@"' run "$1" -- --exact "$2"; }

seeds() {
unix=src/bin/locket/unix

seed canary_keeps_no_lock command::held::l15_the_lock_is_held_until_the_command_ends_if_locket_is_killed $unix/canary.rs \
    'close_all_except(&[channel, end, task.lock.as_raw_fd()]);' 'close_all_except(&[channel, end]);'
seed canary_keeps_no_lock_in_a_crowd \
    hostile::command_histories::l1_l2_l7_l15_crowds_under_every_signal_have_the_history_of_a_lock $unix/canary.rs \
    'close_all_except(&[channel, end, task.lock.as_raw_fd()]);' 'close_all_except(&[channel, end]);'
seed canary_ends_with_locket command::held::l15_the_lock_is_held_until_the_command_ends_if_locket_is_killed $unix/canary.rs \
    'wait_for_end(task.command, end);' 'let _ = wait_for_end;'
seed canary_keeps_standard_output command::held::the_canary_has_no_stream_open $unix/canary.rs \
    'close_all_except(&[channel, end, task.lock.as_raw_fd()]);' 'close_all_except(&[1, channel, end, task.lock.as_raw_fd()]);'
seed canary_is_called_locket command::canary::the_canary_is_not_called_locket $unix/canary.rs \
    'set_command_line(c"canary", task.words);' 'let _ = set_command_line;'
seed canary_outlives_locket command::held::the_lock_is_free_before_locket_ends $unix/supervise.rs \
    '            canary.kill();' '            std::mem::forget(canary);'
seed canary_is_not_asked command::signals::l15_sent_to_the_group $unix/supervise.rs \
    '!has_left && self.has_command_received(signal, since)' '!has_left && { let _ = since; false }'
seed canary_is_not_asked_again command::signals::l15_sent_to_each_process $unix/supervise.rs \
    'Answer::NotReceived if start.elapsed() < ask_for(signal) => pause(),' \
    'Answer::NotReceived if start.elapsed() < ask_for(signal) => return false,'
seed signals_are_not_passed_on command::signals::l15_sent_to_locket $unix/supervise.rs \
    '} else if !is_discarded(signal) {' '} else if !is_discarded(signal) && false {'
seed signals_of_the_group_are_taken_for_the_commands \
    command::signals::l15_sent_to_a_command_in_a_session_of_its_own $unix/supervise.rs \
    'getpgid(Some(Pid::from_raw(self.command))) != Ok(getpgrp())' 'false'
seed early_signals_are_passed_on_without_asking command::signals::l15_sent_before_the_canary_is_there $unix/supervise.rs \
    'let mut has_received = command.has_received(signal.number);
            while' 'let mut has_received = false;
            while false &&'
seed values_are_lost command::signals::l15_sent_with_a_value $unix/os.rs \
    'if self.code < 0 && self.code != libc::SI_TKILL {' 'if self.code < 0 && self.code != libc::SI_TKILL && false {'
seed ignored_sigchld_loses_the_status command::exit_codes::the_status_is_known_even_if_the_caller_ignores_sigchld $unix/supervise.rs \
    '    os::reset_action(libc::SIGCHLD);' ''
seed held_back_lock_is_passed_on command::inheritance::the_command_inherits_only_the_locked_descriptor $unix/supervise.rs \
    '        (Inheritance::NotInherited, _) => Passing::Unchanged,' '        (Inheritance::NotInherited, hold) => Passing::Copy(hold.as_fd()),'
seed end_by_signal_is_128_and_more command::exit_codes::a_signal_that_ends_the_command_ends_locket $unix/command.rs \
    'End::Signal(number) => end_by(number),' 'End::Signal(number) => 128 + number,'
seed writes_a_core command::exit_codes::locket_writes_no_core $unix/command.rs \
    '        disable_core_dump();' '        let _ = disable_core_dump;'
seed full_standard_error_blocks command::unread::l15_a_full_pipe_delays_no_deadline $unix/stdio.rs \
    'if !has_room && when_full == WhenFull::Discard {' 'if !has_room && when_full == WhenFull::Discard {
        write_blocking(stream, &text);'
seed terminal_stop_stops_the_command_only command::jobs::a_stopped_job_is_continued_in_the_foreground \
    $unix/supervise.rs '        os::raise_default(by_terminal);' '        let _ = by_terminal;'
seed command_that_stops_itself_is_no_stopped_job \
    command::jobs::a_command_that_cleans_up_before_it_stops_is_a_stopped_job $unix/supervise.rs \
    'Some(libc::SIGSTOP) if self.is_asked_to_stop => libc::SIGTSTP,' ''
seed first_process_reaps_its_command_only command::jobs::the_first_process_of_a_container_reaps_orphans \
    $unix/supervise.rs 'while let Ok(Some((pid, status))) = wait(options) {' \
    'let command = rustix::process::Pid::from_raw(self.command);
        while let Ok(Some((pid, status))) = rustix::process::waitpid(command, options) {'
}
