#!/usr/bin/env bash
# Seeds bugs in `locket run` and expects its tests to fail. See ci/seeded.sh.
#
#   ci/run-seeded.sh [NAME]...
exec "$(dirname "${BASH_SOURCE[0]}")/seeded.sh" run "$@"
