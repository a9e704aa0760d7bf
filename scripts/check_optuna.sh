#!/usr/bin/env bash
# A search with the real Optuna, interrupted and gone on with. Says so where Optuna is not there.
#
#     scripts/check_optuna.sh [path of mbspike]; PYTHON names another python
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:-target/debug/mbspike}")
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if ! "$python" -c 'import optuna' 2>/dev/null; then
    "$python" -m venv "$folder/venv" 2>/dev/null && "$folder/venv/bin/pip" install -q optuna 2>/dev/null || {
        echo "NOT RUN: the search with Optuna: it is not here and cannot be installed"
        exit 0
    }
    python=$folder/venv/bin/python
fi
search() {
    "$python" scripts/optuna_search.py configs/smoke.toml --mbspike "$program" --out "$folder/runs" \
        --set train.epochs=1 --set dataset.train_size=200 --trials "$1" 2>/dev/null
}
search 3 >/dev/null
best=$(search 2)
echo "$best"
n=$(find "$folder/runs/smoke" -name summary.json | wc -l)
[ "$n" = 5 ] || { echo "five trials, but $n runs"; exit 1; }
accuracy=$("$python" -c 'import json, sys; print(json.loads(sys.argv[1])["accuracy"])' "$best")
"$program" collect "$folder/runs/smoke" --no-figures >/dev/null
grep -q "$accuracy" "$folder/runs/smoke/results.csv" || { echo "$accuracy is in no run"; exit 1; }
echo "Optuna $("$python" -c 'import optuna; print(optuna.__version__)'): five trials, the study gone on with once"
