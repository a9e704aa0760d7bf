#!/usr/bin/env bash
# The table of the README: how many crates each of ours pulls in, the large ones by name.
set -euo pipefail
cd "$(dirname "$0")/.."
large="candle-core candle-nn hdf5-pure image parquet plotters rayon resvg"
echo "| crate | crates it pulls in | large ones among them |"
echo "|---|---|---|"
for folder in crates/*; do
    name=$(basename "$folder")
    tree=$(cargo tree -p "$name" -e normal --prefix none --no-dedupe | awk '{print $1}' | sort -u)
    n=$(($(echo "$tree" | wc -l) - 1))
    found=$(for one in $large; do echo "$tree" | grep -xF "$one" || true; done | paste -sd, | sed 's/,/, /g')
    echo "| \`$name\` | $n | $found |"
done
