#!/usr/bin/env bash
# Checks that the tests of `locket run` find bugs in it. See ci/seeded.sh.
#
#   ci/run-seeded.sh [NAME]...
exec "$(dirname "${BASH_SOURCE[0]}")/seeded.sh" run "$@"
