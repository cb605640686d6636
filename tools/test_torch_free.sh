#!/usr/bin/env bash
# Install the command line without torch, and run it: sizes, times and results are printed. It fails
# where the packages of the command line take 500 MB or more, or a result holds no object.
# Usage: tools/test_torch_free.sh [FOLDER [PYTHON]], the folder for the environment; by default
# build/torch-free. With DOCK=1 the packages of the plugin are installed as well.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/torch-free}
python=${2:-python3}
requirements=requirements-onnx-cli.txt
[[ -z ${DOCK:-} ]] || requirements=requirements-onnx.txt

"$python" -m venv --clear "$folder"
venv=$(cd "$folder" && pwd)
# what is never used is not compiled, which saves a sixth of the disk
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-compile)
"${pip[@]}" -c constraints.txt -r "$requirements"
"${pip[@]}" --no-deps .
most=500 # MB
[[ -z ${DOCK:-} ]] || most=inf
"$venv/bin/python" - "$most" <<'PYTHON'
import sys
import sysconfig
from pathlib import Path

site = Path(sysconfig.get_path("purelib"))
if list(site.glob("torch*")):
    raise SystemExit("torch was installed")
files = [path for path in site.rglob("*") if path.is_file()]
own = ("pip", "setuptools", "pkg_resources", "_distutils_hack")  # of the environment itself
files = [path for path in files if not path.relative_to(site).parts[0].startswith(own)]
size = sum(path.stat().st_size for path in files) / 1e6
compiled = sum(path.stat().st_size for path in files if path.suffix == ".pyc") / 1e6
print(f"packages: {size:.0f} MB, {compiled:.0f} MB of them compiled Python files")
if size >= float(sys.argv[1]):
    raise SystemExit(f"the packages take {size:.0f} MB, but should take less than {sys.argv[1]}")
PYTHON

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" # so that the installed package is used
export NAPARI_SAM_STATE_DIR=$work/state NAPARI_SAM_CONFIG_DIR=$work/config \
    NAPARI_SAM_CACHE_DIR=$work/cache
TIMEFORMAT="%R s, %U s of the processor"
run() {
    echo "napari-sam $*"
    time "$venv/bin/napari-sam" "$@" >"$work/said" 2>"$work/errors" ||
        { cat "$work/errors" >&2; exit 1; }
    cat "$work/said"
}
finds() { # run a command, which names its result after -o; no label image of it may be empty
    run "$@"
    "$venv/bin/python" - "${@: -1}" <<'PYTHON'
import sys
from pathlib import Path

import tifffile

place = Path(sys.argv[1])
files = sorted(place.glob("*_labels.tif")) if place.is_dir() else [place]
empty = [str(path) for path in files if not tifffile.imread(path).any()]
if empty or not files:
    raise SystemExit(f"no objects in {', '.join(empty) or place}")
PYTHON
}
finds demo -o first # compiles what is not compiled yet
finds demo -o demo
"$venv/bin/python" -c 'import napari_sam; print("version", napari_sam.__version__)'
"$venv/bin/python" - <<'PYTHON'
import numpy as np
import tifffile
from napari_sam.images.samples import cells_stack_with_labels

volume, labels = cells_stack_with_labels()
tifffile.imwrite("stack.tif", volume[10:14], metadata={"axes": "ZYX"})
tifffile.imwrite("plane.tif", volume[12])
tifffile.imwrite("plane_labels.tif", labels[12].astype(np.uint16))
y, x = np.argwhere(labels[11] == labels[11].max()).mean(axis=0).round().astype(int)
open("point", "w").write(f"{x},{y}")
PYTHON
finds segment stack.tif --point "$(cat point),1" -o click.tif
finds everything plane.tif -o plane_objects.tif
finds everything stack.tif -o stack_objects.tif
finds segment stack.tif --point "$(cat point),1" --propagate -o followed.tif
mkdir labelled && mv plane.tif plane_labels.tif labelled
run evaluate labelled --limit 5
run models
for command in "train labelled -o tuned.safetensors" "models --model vit_b --export weights.pth"; do
    # shellcheck disable=SC2086
    if "$venv/bin/napari-sam" $command >/dev/null 2>"$work/errors"; then
        echo "napari-sam $command should have asked for torch" >&2
        exit 1
    fi
    grep 'needs torch' "$work/errors"
done
