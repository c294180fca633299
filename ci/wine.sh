# Windows on any Debian machine. Sourced, from the root of the project: installs the tools, starts Wine in a scratch directory,
# and defines `windows_cargo`, which builds for Windows and runs under Wine. $scratch is deleted when the caller ends.

target=x86_64-pc-windows-gnu
linker=x86_64-w64-mingw32-gcc
wine=/usr/lib/wine/wine64
wineserver=/usr/lib/wine/wineserver64

install_tools() {
    local -a missing=()
    [[ -x $wine && -x $wineserver ]] || missing+=(wine64)
    command -v "$linker" >/dev/null || missing+=(gcc-mingw-w64-x86-64-win32)
    if ((${#missing[@]})); then
        local -a install=(env DEBIAN_FRONTEND=noninteractive
            apt-get install -qq -y --no-install-recommends "${missing[@]}")
        # The package lists of a fresh machine are empty, and old ones name versions that are gone.
        "${install[@]}" >/dev/null 2>&1 || { apt-get update -qq && "${install[@]}" >/dev/null; }
    fi
    rustup target list --installed | grep -x "$target" >/dev/null || rustup target add "$target"
}

# Wine maps one page at a fixed address in every process. Debian's has no preloader to keep that address free, so with a
# randomized address space about one start in 3000 fails ("failed to map the shared user data", CreateProcess error 1359).
in_wine() { setarch -R "$wine" "$@"; }

# Rust programs ask bcryptprimitives.dll for random bytes. Wine 8 has none, but has the same service under another name.
add_random_source() {
    "$linker" -xc - -O2 -shared -s -o "$1/bcryptprimitives.dll" -ladvapi32 <<'C'
#include <windows.h>
BOOLEAN WINAPI SystemFunction036(PVOID buffer, ULONG length);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length) {
    while (length > 0) {
        ULONG part = length < 0x10000000 ? (ULONG)length : 0x10000000;
        if (!SystemFunction036(buffer, part)) return FALSE;
        buffer += part;
        length -= part;
    }
    return TRUE;
}
C
}

# Wine's services outlive the program that starts them, and would keep its streams open, and so the pipes of this script's caller.
# The server and a first program, which makes the prefix, therefore start with other streams. -p300 keeps the server up between
# tests: Debian's default is to end with the last program, and the next program may then meet a server that is ending.
start_wine() {
    "$wineserver" -p300 </dev/null >/dev/null 2>&1
    in_wine cmd /c exit </dev/null >/dev/null 2>&1 || { echo "$0: Wine does not start" >&2; exit 1; }
    add_random_source "$WINEPREFIX/drive_c/windows/system32"
}

stop_wine() {
    "$wineserver" -k -w >/dev/null 2>&1 || true
    rm -rf "$scratch"
}

install_tools

scratch=$(mktemp -d)
trap stop_wine EXIT
mkdir "$scratch/prefix"
# Wine leaves the directory of its server's socket in TMPDIR. It is deleted with $scratch.
export TMPDIR=$scratch WINEPREFIX=$scratch/prefix WINEARCH=win64 WINEDEBUG=-all
# No screen, no .NET, no browser engine, no debugger: these ask questions or draw windows.
unset DISPLAY WAYLAND_DISPLAY
export WINEDLLOVERRIDES=mscoree,mshtml,winedbg.exe,winemenubuilder.exe=
start_wine

# The Python of the reference. In Wine, / is drive Z.
python=Z:$(ci/windows-python.sh)
python=${python//\//\\}
export LOCKET_PYTHON=$python\\python.exe PYTHONHOME=$python PYTHONPATH=$python\\site-packages

# The runner is an argument and not an environment variable: assert_cmd would read the variable and start wine inside Wine.
windows_cargo() {
    cargo "$1" --package filelocket --package locket-tests --target "$target" \
        --config "target.$target.linker='$linker'" \
        --config "target.$target.runner=['setarch', '-R', '$wine']" \
        "${@:2}"
}
