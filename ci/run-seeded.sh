#!/usr/bin/env bash
# Would the tests of `locket run` notice? See ci/seeded.sh.
#
#   ci/run-seeded.sh [NAME]...
exec "$(dirname "${BASH_SOURCE[0]}")/seeded.sh" run "$@"
