#!/usr/bin/env bash
# Seeds bugs in the code for Windows and expects its tests to fail. See ci/seeded.sh.
#
#   ci/windows-seeded.sh [NAME]...
exec "$(dirname "${BASH_SOURCE[0]}")/seeded.sh" windows "$@"
