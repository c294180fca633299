# Bugs in the code for Windows, tested under Wine. Sourced by ci/seeded.sh.

source ci/wine.sh

title=Windows
described_in=tests/windows/README.md

# Prints the test program: `lib::` is the library, `windows::` the program of that name, anything else a module of `laws`.
program_of() {
    case $1 in
    lib::*) echo --lib "${1#lib::}" ;;
    windows::*) echo --test=windows "${1#windows::}" ;;
    *) echo --test=laws "$1" ;;
    esac
}

build() { windows_cargo test --quiet "$1" --no-run; }

run() {
    timeout 30 bash -c "$(declare -p target linker wine); $(declare -f windows_cargo); "'windows_cargo test "$@"' run \
        --quiet "$1" -- --exact "$2"
}

seeds() {
os=src/os/windows.rs

seed locks_byte_0_only windows::ranges::l14_every_byte_is_held $os \
    'Mode::Exclusive => FileExt::try_lock(&file.file),' \
    'Mode::Exclusive => unsafe {
            use std::os::windows::io::AsRawHandle;
            use windows_sys::Win32::Storage::FileSystem::LockFileEx;
            let mut at = std::mem::zeroed();
            match LockFileEx(file.file.as_raw_handle(), 3, 0, 1, 0, &raw mut at) {
                0 => Err(TryLockError::WouldBlock),
                _ => Ok(()),
            }
        },'
seed unlocks_nothing exclusion::l2_a_try_takes_a_free_lock $os \
    'FileExt::unlock(&file.file).map_err' \
    'file.file.metadata().map(drop).map_err'
seed shared_is_exclusive shared::l1_readers_share $os \
    'FileExt::try_lock_shared(' 'FileExt::try_lock('
seed exclusive_is_shared exclusion::l1_two_handles_exclude_each_other $os \
    'Mode::Exclusive => FileExt::try_lock(' 'Mode::Exclusive => FileExt::try_lock_shared('
seed waits_for_a_shared_lock shared::l1_a_writer_waits_for_every_reader $os \
    'Mode::Exclusive => FileExt::lock(' 'Mode::Exclusive => FileExt::lock_shared('
seed contention_is_an_error exclusion::l2_contention_would_block $os \
    'Err(TryLockError::WouldBlock) => Ok(false)' \
    'Err(TryLockError::WouldBlock) => Err(Action::Lock.failed(io::ErrorKind::Other))'
seed every_refusal_is_contention windows::opening::l12_a_path_that_cannot_be_locked_is_an_error $os \
    'Err(TryLockError::Error(error)) => Err(Action::Lock.failed(error))' \
    'Err(TryLockError::Error(_)) => Ok(false)'
seed sharing_violation_is_final windows::sharing::l3_a_sharing_violation_is_retried $os \
    'ERROR_SHARING_VIOLATION | ERROR_DELETE_PENDING))' 'ERROR_DELETE_PENDING))'
seed sharing_violation_is_waited_out windows::sharing::l12_a_sharing_violation_is_not_contention $os \
    'is_last || ' ''
seed every_error_is_waited_out windows::opening::l12_a_path_that_cannot_be_locked_is_an_error $os \
    ' || !passes(&error.source)' ''
seed keeps_the_file_to_itself windows::ranges::l14_other_programs_can_open_a_held_file $os \
    '        .access_mode(GENERIC_READ)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)' \
    '        .access_mode(GENERIC_READ)
        .share_mode(0)'
seed denies_renaming windows::identity::l9_a_guard_reports_a_replaced_file $os \
    '        .access_mode(GENERIC_READ)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)' \
    '        .access_mode(GENERIC_READ)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)'
seed asks_to_write windows::sharing::l1_a_file_that_denies_writing_can_be_locked $os \
    '.access_mode(GENERIC_READ)' '.access_mode(GENERIC_READ | 0x4000_0000)'
seed asks_to_write_to_look windows::sharing::l9_a_file_that_denies_writing_can_be_identified $os \
    '.access_mode(0)' '.access_mode(GENERIC_READ | 0x4000_0000)'
seed truncates contents::l8_contents_stay $os \
    '.write(create) // std requires it beside `create`; the access is that of `access_mode`.
        .create(create)' \
    '.write(true)
        .create(true)
        .truncate(true)'
seed handle_is_inherited windows::inheritance::l11_children_inherit_nothing $os \
    'Ok(file) => return Ok(Opened::File(OpenFile { file })),' \
    'Ok(file) => {
                let handle = std::os::windows::io::AsRawHandle::as_raw_handle(&file);
                unsafe { windows_sys::Win32::Foundation::SetHandleInformation(handle, 1, 1) };
                return Ok(Opened::File(OpenFile { file }));
            }'
seed path_stays_relative path::l10_a_handle_knows_its_absolute_path $os \
    'Ok(path) => Self { path, fault: None }' 'Ok(_) => Self { path: given.into(), fault: None }'
seed always_current windows::identity::l9_an_idle_handle_is_verified_before_reuse $os \
    'Ok(named) => identity::is_same(&named, &file.file),' 'Ok(_) => Ok(true),'
seed volume_is_identity windows::identity::l9_a_guard_reports_a_replaced_file src/os/windows/identity.rs \
    'Ok((info.VolumeSerialNumber, info.FileId.Identifier))' 'Ok((info.VolumeSerialNumber, [0; 16]))'
seed missing_is_an_error windows::identity::l9_a_guard_reports_a_replaced_file $os \
    'Err(error) if is_missing(&error) || code(&error) == Some(ERROR_DELETE_PENDING) => {
                Ok(false)
            }' ''
seed directory_cannot_be_looked_at windows::identity::l9_a_directory_in_place_of_the_file_is_an_error $os \
    '.custom_flags(FILE_FLAG_BACKUP_SEMANTICS | no_follow)' '.custom_flags(no_follow)'
seed directory_is_access_denied windows::opening::l12_a_path_that_cannot_be_locked_is_an_error $os \
    'STATUS_FILE_IS_A_DIRECTORY => {' 'STATUS_FILE_IS_A_DIRECTORY if false => {'
seed retries_for_ever deadline::l3_never_early $os \
    '(Some(Duration::ZERO), _) => return Ok(WaitOutcome::Woken),' ''
seed pauses_beyond_the_deadline lib::os::windows::pauses::tests::they_end_at_the_deadline src/os/windows/pauses.rs \
    'self.next.min(left.unwrap_or(Duration::MAX))' '{ let _ = left; self.next }'
seed first_pause_is_the_longest lib::os::windows::pauses::tests::they_grow_up_to_the_retry_period src/os/windows/pauses.rs \
    'longest.min(Self::FIRST)' 'longest'
seed bequeaths_in_vain windows::inheritance::l12_inherit_on_exec_is_unsupported $os \
    'Err(Action::Inherit.failed(io::Error::new(io::ErrorKind::Unsupported, text)))' '{ let _ = text; Ok(()) }'
seed command_outlives_locket windows::running::l7_killing_locket_ends_the_command src/bin/locket/windows.rs \
    'ExtendedLimitInfo::new().limit_kill_on_job_close()' '&ExtendedLimitInfo::new()'
seed waits_for_the_command_only windows::running::l1_a_process_left_running_keeps_the_lock src/bin/locket/windows.rs \
    'while self.has_others()? {' 'while self.has_others()? && false {'
seed takes_what_is_left_along windows::running::l11_with_close_a_process_left_running_does_not_keep_the_lock src/bin/locket/windows.rs \
    'Ok(self.0.set_extended_limit_info(&ExtendedLimitInfo::new())?)' 'Ok(())'
}
