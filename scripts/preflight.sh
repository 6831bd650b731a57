#!/bin/sh
# Names what this machine lacks, with the line that installs it. Nothing is installed here.
set -u
python=${PYTHON:-python3}
missing=0
lacks() { missing=1; printf 'missing: %s\n  install it: %s\n' "$1" "$2" >&2; }

command -v git >/dev/null 2>&1 || lacks git 'apt-get install git   (dnf install git, brew install git)'
if ! command -v "$python" >/dev/null 2>&1; then
    lacks "$python" 'apt-get install python3 python3-venv python3-dev   (dnf install python3-devel, brew install python)'
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    lacks 'Python 3.11 or newer' "apt-get install python3 python3-venv, then make PYTHON=/path/to/it   (found: $("$python" --version))"
else
    "$python" -c 'import ensurepip, venv' 2>/dev/null || lacks "Python's venv module" 'apt-get install python3-venv'
    "$python" -c 'import os, sysconfig as s, sys; sys.exit(not os.path.exists(os.path.join(s.get_path("include"), "Python.h")))' ||
        lacks "Python's headers (tdigest's dependency is compiled)" 'apt-get install python3-dev   (dnf install python3-devel)'
fi
command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || lacks "a C compiler (tdigest's dependency is compiled)" \
    'apt-get install gcc libc6-dev   (dnf install gcc, xcode-select --install)'
exit $missing
