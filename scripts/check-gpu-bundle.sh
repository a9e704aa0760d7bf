#!/usr/bin/env bash
# Tries a bundle of scripts/gpu-bundle.sh where there is nothing but Debian's smallest root: no Rust, no CUDA,
# no Python, no GPU. Its program must start, and every stage must end with exit code 1 and say that there is no
# driver:
#
#     scripts/check-gpu-bundle.sh [DIR]      # target/gpu-bundle
#
# Needs debootstrap and to be root. Takes a minute, and another where the root is not there yet
# ($MBSPIKE_BUNDLE_ROOT, or target/bundle-root).
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=$(realpath "${1:-target/gpu-bundle}")
root=$(realpath -m "${MBSPIKE_BUNDLE_ROOT:-target/bundle-root}")
if [ ! -e "$root/bin/bash" ]; then
    debootstrap --variant=minbase bookworm "$root" >&2
fi
megabytes=$(du -sm "$bundle" | cut -f1)
echo "the bundle takes $megabytes MB"
[ "$megabytes" -lt 60 ] || { echo "more than 59"; exit 1; }

folder=$(mktemp -d "$root/bundle.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cp -r "$bundle" "$folder/bundle"
there=${folder#"$root"}
inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@"
}
for absent in cargo rustc nvcc nvidia-smi python3; do
    if inside sh -c "command -v $absent"; then echo "$absent is there"; exit 1; fi
done

status=0
inside "$there/bundle/run.sh" --out "$there/report" || status=$?
[ "$status" = 1 ] || { echo "run.sh ended with exit code $status, not 1"; exit 1; }
stages=$(sed -n 's/^all=(\(.*\))$/\1/p' scripts/check-gpu.sh)
for stage in $stages; do
    grep -q "cuda:0: no CUDA driver found" "$folder/report/$stage.log" ||
        { echo "stage $stage does not say that there is no driver"; exit 1; }
    grep -q "^## $stage: FAILED with exit code 1 " "$folder/report/report.md" ||
        { echo "the report does not say that stage $stage failed"; exit 1; }
done
# What is read elsewhere must be JSON.
python3 - "$folder/report/report.json" $stages <<'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
assert [stage["stage"] for stage in report] == sys.argv[2:]
assert all("no CUDA driver found" in stage["log"] and stage["status"] == 1 for stage in report)
PYTHON
# The program itself, without a GPU: on the CPU.
for set in cuda cudnn; do
    mkdir -p "$folder/programs"
    tar -xzf "$bundle/$set.tar.gz" -C "$folder/programs"
    inside env LD_LIBRARY_PATH="$there/bundle/stand-ins" "$there/programs/$set/mbspike" run "$there/bundle/configs/smoke.toml" --quiet --no-figures \
        --out "$there/runs-$set" >/dev/null
    [ -s "$folder/runs-$set/smoke/results.csv" ]
    echo "$set: the program runs on the CPU there"
done
