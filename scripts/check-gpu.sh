#!/usr/bin/env bash
# Checks mbspike on a machine with an NVIDIA GPU (compute capability 8.0 or newer) and CUDA 13's libraries.
#
#     scripts/check-gpu.sh [STAGE...]                       # builds a bundle first, where Rust is
#     scripts/check-gpu.sh --bundle DIR [STAGE...]          # runs one that scripts/gpu-bundle.sh built
#     … --out DIR                                           # where the report goes (gpu-report)
#
# Stages, each at most 8 minutes and useful alone; all of them where none is named:
#     machine    card, driver, libraries
#     tests      each kernel against its CPU twin, bit for bit, and training steps, with cuda and cudnn
#     training   the quickstart and a batch-norm network on CPU and GPU: accuracies side by side
#     sanitizer  compute-sanitizer (memcheck, racecheck, synccheck) over each kernel
#     kernels    GB/s of each kernel beside the card's own copy
#     steps      whole training steps, f32 and bf16, CPU, cuda and cudnn
#     peers      the same steps in PyTorch, torch.compile and SpikingJelly's CuPy and Triton backends
# A stage leaves OUT/STAGE.log, OUT/STAGE.jsonl with what it measured, and OUT/STAGE.json; OUT/report.md and
# OUT/report.json have what is there, also of earlier calls. A stage that fails does not keep the others from
# running; the exit code is 1 then.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
all=(machine tests training sanitizer kernels steps peers)
# Seconds of a stage.
limit=${MBSPIKE_STAGE_LIMIT:-470}
bundle="" out=gpu-report only="" stages=()
while [ $# -gt 0 ]; do
    case $1 in
    --bundle | --out | --only)
        [ $# -gt 1 ] || { echo "$1 needs a value" >&2; exit 2; }
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
    -h | --help) sed -n '2,20s/^# \{0,1\}//p' "$0" && exit ;;
    *)
        [[ " ${all[*]} " == *" $1 "* ]] || { echo "unknown stage $1; there are: ${all[*]}" >&2; exit 2; }
        stages+=("$1") && shift
        ;;
    esac
done
[ ${#stages[@]} -gt 0 ] || stages=("${all[@]}")
if [ -z "$bundle" ]; then
    bundle=$here/../target/gpu-bundle
    "$here/gpu-bundle.sh" "$bundle" || exit
fi
bundle=$(cd "$bundle" && pwd) || exit 2
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit

# Where a shared library is, if anywhere.
library() {
    local folder folders
    IFS=: read -ra folders <<<"${LD_LIBRARY_PATH:-}"
    for folder in "${folders[@]}" /usr/local/nvidia/lib64 /usr/local/cuda/lib64 \
        /usr/local/cuda/targets/x86_64-linux/lib \
        $(python3 -c 'import glob, sys; print(*(g for p in sys.path if p for g in glob.glob(p + "/nvidia/*/lib")))' 2>/dev/null); do
        if [ -e "$folder/$1" ]; then echo "$folder" && return; fi
    done
    if ldconfig -p 2>/dev/null | grep -qF "$1 "; then echo system && return; fi
    return 1
}

# Lets the loader find a library; fails where it is not here.
use_library() {
    local folder
    folder=$(library "$1") || return
    [ "$folder" = system ] || export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
}

# Adds a line of JSON to what the stage measured.
measured() {
    tee -a "$out/$stage.jsonl"
}

# Fails, and says why, where the program finds no GPU. Every stage begins with it.
probe() {
    "$programs/cuda/mbspike" bench step --config "$bundle/configs/smoke.toml" --device cuda:0 \
        --steps 1 --warm-up 0 --quiet >/dev/null
}

stage_machine() {
    date -u
    echo "commit $(cat "$bundle/commit")"
    if command -v nvidia-smi >/dev/null; then
        nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total --format=csv,noheader |
            awk -F', ' '{ printf "{\"card\": \"%s\", \"driver\": \"%s\", \"compute_capability\": \"%s\", \"memory\": \"%s\"}\n", $1, $2, $3, $4 }' |
            measured
    fi
    for file in "$bundle"/stand-ins/*; do
        folder=$(library "${file##*/}") && [ "$folder" != "$programs/stand-ins" ] || folder="not found"
        echo "${file##*/}: $folder"
    done
    "$programs/cuda/mbspike" info
}

stage_tests() {
    local set test status=0
    export MBSPIKE_REQUIRE_GPU=1 MBSPIKE_KERNELS_ON_GPU=1 MBSPIKE_GOLDEN_DIR=$bundle/golden
    for set in "${sets[@]}"; do
        for test in kernels core-device lif-device; do
            [ "$set-$test" != cudnn-kernels ] || continue
            echo "-- $test with $set"
            "$programs/$set/$test" || status=1
        done
    done
    return $status
}

# The last test accuracies of all runs in a folder of runs, in the order of its table.
accuracies() {
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "final_test_accuracy") column = i }
        NR > 1 { print $column }' "$1/results.csv"
}

# Trains a config on a device into OUT/runs; where that was begun before, it goes on.
train() {
    local name=$1 device=$2
    shift 2
    "$programs/cuda/mbspike" run "$bundle/configs/quickstart.toml" --device "$device" --quiet \
        --set name="$name-${device%%:*}" --out "$out/runs" --resume --no-figures "$@" >/dev/null
}

stage_training() {
    local status=0 name settings
    for name in quickstart batch-norm; do
        settings=()
        [ $name = quickstart ] ||
            settings=(--set 'network.arch="28x28-8c5-bn-2a-16c5-bn-2a-10o"' --set train.epochs=3)
        train $name cuda:0 "${settings[@]}" && train $name cpu "${settings[@]}" || { status=1; continue; }
        # Input currents differ in the last bits, so spikes flip and the trainings drift apart as two
        # BLAS libraries would: single runs by the standard error of 1,000 test images, means less.
        paste -d' ' <(accuracies "$out/runs/$name-cpu") <(accuracies "$out/runs/$name-cuda") |
            awk -v name=$name '
                { n++; d = $2 - $1; sum += d; cpu += $1; gpu += $2
                  if (NF != 2 || d != d + 0 || d > 0.05 || d < -0.05) bad = 1
                  printf "%s: run %d: %.1f %% on the CPU, %.1f %% on the GPU\n", name, n, 100 * $1, 100 * $2 >"/dev/stderr" }
                END {
                    if (n == 0) exit 1
                    printf "{\"training\": \"%s\", \"runs\": %d, \"mean_cpu\": %.4f, \"mean_gpu\": %.4f}\n", name, n, cpu / n, gpu / n
                    exit bad || sum / n > 0.015 || sum / n < -0.015
                }' | measured ||
            { echo "$name: a run differs by more than 5 points, or the mean by more than 1.5"; status=1; }
    done
    return $status
}

stage_sanitizer() {
    local tool status=0
    command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not here"; return 1; }
    export MBSPIKE_KERNELS_ON_GPU=1
    for tool in memcheck racecheck synccheck; do
        echo "-- $tool"
        timeout 150 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$programs/cuda/kernels" every_kernel_agrees_with_the_cpu_on_a_few_cases || status=1
    done
    return $status
}

stage_kernels() {
    "$programs/cuda/cuda_bandwidth" --json | measured
}

stage_steps() {
    local precision device set status=0
    for precision in f32 bf16; do
        for set in "${sets[@]}"; do
            for device in cuda:0 cpu; do
                [ "$set-$device" != cudnn-cpu ] || continue
                echo "-- $precision, $device, $set"
                # On one line.
                timeout 90 "$programs/$set/mbspike" bench step --config "$bundle/configs/quickstart.toml" \
                    --device "$device" --set train.batch_size=128 --set encoder.time_steps=10 \
                    --set train.precision="$precision" --steps 30 --json |
                    tr -d '\n' | sed "s/^{/{\"set\": \"$set\", \"precision\": \"$precision\",/; s/\$/\n/" |
                    measured || status=1
            done
        done
    done
    return $status
}

stage_peers() {
    PYTHONPATH="$programs/python${PYTHONPATH:+:$PYTHONPATH}" python3 "$bundle/bench_gpu_peers.py" | measured
}

# One stage, in a process of its own: the one of the name after --only.
if [ -n "$only" ]; then
    stage=$only programs=$MBSPIKE_PROGRAMS
    read -ra sets <<<"$MBSPIKE_SETS"
    : >"$out/$stage.jsonl"
    probe && stage_"$stage"
    exit
fi

sets=(cuda)
programs=$(mktemp -d "$out/programs.XXXXXX")
trap 'rm -rf "$programs"' EXIT
mkdir "$programs/stand-ins"
for file in "$bundle"/stand-ins/*; do
    name=${file##*/}
    if use_library "$name"; then
        [ "${name%%.*}" != libcudnn ] || sets+=(cudnn)
    elif [ "${name%%.*}" = libcudnn ]; then
        echo "$name is in none of the loader's folders: the set with cuDNN is left out" >&2
    else
        echo "$name is in none of the loader's folders: nothing can be computed on a GPU without it" >&2
        cp "$file" "$programs/stand-ins/"
    fi
done
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$programs/stand-ins"
for archive in "${sets[@]}" python; do
    # A bundle that was built without a network has no Python.
    [ "$archive" = python ] && [ ! -e "$bundle/python.tar.gz" ] && continue
    tar -xzf "$bundle/$archive.tar.gz" -C "$programs" || exit
done

# Text as a string of JSON.
json_string() {
    awk 'BEGIN { printf "\"" }
        { gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); gsub(/\t/, "\\t"); gsub(/[[:cntrl:]]/, ""); printf "%s%s", (NR > 1 ? "\\n" : ""), $0 }
        END { printf "\"" }'
}

failed=0
for stage in "${stages[@]}"; do
    echo "== $stage"
    started=$SECONDS
    MBSPIKE_PROGRAMS=$programs MBSPIKE_SETS="${sets[*]}" timeout --kill-after=10 "$limit" \
        "$BASH" "$0" --bundle "$bundle" --out "$out" --only "$stage" >"$out/$stage.log" 2>&1
    status=$?
    [ $status != 124 ] || echo "stopped after $limit s" >>"$out/$stage.log"
    cat "$out/$stage.log"
    [ $status = 0 ] || failed=1
    printf '{"stage": "%s", "date": "%s", "status": %d, "seconds": %d, "measured": [%s], "log": %s}\n' \
        "$stage" "$(date -u +%FT%TZ)" $status $((SECONDS - started)) \
        "$(paste -sd, "$out/$stage.jsonl")" "$(json_string <"$out/$stage.log")" >"$out/$stage.json"
done

{
    echo "# mbspike on a GPU"
    printf '[' >"$out/report.json"
    separator=""
    for stage in "${all[@]}"; do
        [ -e "$out/$stage.json" ] || continue
        printf '%s\n%s' "$separator" "$(cat "$out/$stage.json")" >>"$out/report.json"
        separator=,
        verdict=$(sed -E 's/.*"date": "([^"]*)", "status": ([0-9]+), "seconds": ([0-9]+),.*/\2 (\1, \3 s)/' "$out/$stage.json")
        [ "${verdict%% *}" = 0 ] && verdict="passed ${verdict#* }" || verdict="FAILED with exit code $verdict"
        printf '\n## %s: %s\n\n```\n%s\n```\n' "$stage" "$verdict" "$(sed "s/\`\`\`/'''/g" "$out/$stage.log")"
    done
    printf '\n]\n' >>"$out/report.json"
} >"$out/report.md"
echo "report: $out/report.md"
exit $failed
