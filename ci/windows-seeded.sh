#!/usr/bin/env bash
# Would the tests of Windows notice? See ci/seeded.sh.
#
#   ci/windows-seeded.sh [NAME]...
exec "$(dirname "${BASH_SOURCE[0]}")/seeded.sh" windows "$@"
