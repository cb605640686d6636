#!/usr/bin/env bash
# Make .venv and install the package, its tools and, where that is possible, Qt's system packages.
# Usage: tools/setup.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}

fail() {
    echo "set-up: $*" >&2
    exit 2
}

command -v "$python" >/dev/null ||
    fail "there is no $python; install Python 3.11 or newer, or say make PYTHON=/path/to/python"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is Python $version, but 3.11 or newer is needed; say make PYTHON=/path/to/python"

# what Qt 6 and a virtual display need on a bare Linux
packages=(
    xvfb xauth libegl1 libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0
    libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0
)
if command -v dpkg >/dev/null; then
    missing=()
    for package in "${packages[@]}"; do
        dpkg -s "$package" >/dev/null 2>&1 || dpkg -s "${package}t64" >/dev/null 2>&1 ||
            missing+=("$package")
    done
    if ((${#missing[@]})) && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2 ||
            echo "set-up: these system packages could not be installed: ${missing[*]}" >&2
    elif ((${#missing[@]})); then
        echo "set-up: these system packages are missing: ${missing[*]}" >&2
    fi
elif [[ $(uname -s) == Linux ]] && ! command -v xvfb-run >/dev/null; then
    echo "set-up: for tests without a display, xvfb-run and Qt's xcb libraries are missing" >&2
fi

"$python" -m venv .venv ||
    fail "$python cannot make a virtual environment; on Debian install python3-venv"
.venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail ".venv holds an older Python than 3.11; remove it and try again"

echo "set-up: installing into .venv, which takes a few minutes" >&2
# the build backend comes first and pinned, so that the build needs no environment of its own
pip=(.venv/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt)
# setuptools builds what is published only as source (read-roi); older ones need wheel for that
"${pip[@]}" hatchling editables hatch-fancy-pypi-readme setuptools
"${pip[@]}" --no-build-isolation -e ".[qt,export,medical,distributed,text,dev,docs]"
# other writings of SAM and TinyViT that ours is compared with; what they need of torchvision is
# stubbed in the tests (tests/stubs.py), so that they come without their dependencies
"${pip[@]}" --no-deps segment-anything timm
