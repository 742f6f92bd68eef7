#!/usr/bin/env bash
# What one GPU does with this checkout, in under nine minutes, as OUT/gpu.md and OUT/gpu.json:
# tests, training and networks beside PyTorch, video functions, STSTNet's 68 folds x 800 epochs on
# the real flow maps, memory and a trace. A step that fails, or exceeds its time, is named there.
#
#   tools/gpu_report.sh OUT [--maps=DIR] [--small]
#
# --maps  the folder of database flow_maps (MEGC2019's 442 maps); without it that step is skipped.
# --small a rehearsal with small sizes, also on a CPU, where it may take half an hour.
# PYTHON  the interpreter, with JAX for this GPU (default: python).
set -uo pipefail
cd "$(dirname "$0")/.."
[[ $# -ge 1 && $1 != -* ]] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$(realpath -m "$1") && shift
maps='' small=0
for option in "$@"; do
    case $option in
        --maps=*) maps=$(realpath -m "${option#*=}") ;;
        --small) small=1 ;;
        *) echo "unknown option $option" >&2; exit 2 ;;
    esac
done
python=${PYTHON:-python}
if [[ -n $(ls -A "$out" 2>/dev/null) && ! -f $out/steps.tsv ]]; then
    echo "$out holds other files, which would be removed; give a folder of its own" >&2
    exit 2
fi
mkdir -p "$out" && rm -rf "$out"/{steps.tsv,run,*.log,*.json,gpu.md}
began=$SECONDS
budget=525

step() {  # NAME SECONDS COMMAND...: runs it for so long at the most, within the budget
    local name=$1 limit=$2 start=$SECONDS left=$((budget - SECONDS + began)) code
    shift 2
    ((limit = limit < left ? limit : left))
    if ((limit < 5)); then
        printf '%s\tskipped\t0\tno time left\n' "$name" >> "$out/steps.tsv"
        return
    fi
    echo "$name (at most $limit s)" >&2
    timeout --kill-after=10 "$limit" "$@" > "$out/$name.log" 2>&1
    code=$?
    ((code == 124 || code == 137)) && code="out of time"
    ((${code/out of time/1} == 0)) && code=ok
    printf '%s\t%s\t%s\t%s\n' "$name" "$code" "$((SECONDS - start))" "$*" >> "$out/steps.tsv"
}
bench() {  # SUITE SECONDS OPTION...
    step "$1" "$2" "$python" -m tools.bench "$1" "${@:3}" --json="$out/$1.json"
}

export PYTHONPATH=$PWD
if ((small)); then
    budget=1800
    bench profile 600 --quick
    bench networks 600 --quick --only='^ststnet$'
    bench loso 600 --quick
    bench video 600 --quick
    epochs=2 tests=(tests/nn/test_normalization.py)
else
    bench profile 60
    bench loso 60 --rounds=3
    bench networks 120 --rounds=3 --only='^(ststnet|rcn_a|stcnn|strcn_g|psn|r3d_convlstm)$'
    bench video 70 --rounds=3
    epochs=800
    tests=(
        tests/nn/test_{convolution,conv_norm_pool,pooling,normalization,recurrent_convolution}.py
        tests/video/test_{warp,strain,median,difference,pyramid}.py
        tests/training/test_{fold,optimizers,losses}.py
    )
fi
if [[ -f $maps/index.csv ]]; then
    step maps $((small ? 600 : 120)) "$python" -m mer_jax run ststnet_megc2019 --workdir="$out/run" \
        --config.data.root="$maps" --config.train.epochs="$epochs" --config.report.thumbnails=False
else
    printf 'maps\tskipped\t0\tno flow maps: give --maps=DIR\n' >> "$out/steps.tsv"
fi
# Products in full float32, as on a CPU; a folder of compiled programs that is the report's own.
MER_JAX_TEST_PLATFORM=$("$python" -c 'import jax; print(jax.default_backend())') \
    JAX_DEFAULT_MATMUL_PRECISION=highest \
    step tests $((small ? 600 : 150)) "$python" -m pytest -n0 -q --no-header -p no:cacheprovider "${tests[@]}"

"$python" - "$out" "$(git rev-parse --short HEAD 2> /dev/null)" << 'EOF'
import csv, json, pathlib, re, subprocess, sys

from tools.bench.timing import Table

out, commit = pathlib.Path(sys.argv[1]), sys.argv[2]
columns = ("step", "result", "seconds", "command")
with open(out / "steps.tsv", newline="") as file:
    steps = [tuple(row) for row in csv.reader(file, delimiter="\t")]
found = {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.json"))}
tables = [Table("Steps", columns, [(*row[:3], row[3].replace(str(out), "OUT")) for row in steps])]
for suite in found.values():
    for entry in suite["tables"]:
        tables.append(Table(entry["title"], entry["columns"], entry["rows"]))
if (out / "run" / "metrics.json").exists():
    metrics = json.loads((out / "run" / "metrics.json").read_text())
    provenance = metrics["provenance"]
    rows = [("UF1", metrics["overall"]["uf1"]["value"]), ("UAR", metrics["overall"]["uar"]["value"])]
    rows += [(name, value) for name, value in provenance.items() if "seconds" in name]
    title = "STSTNet on the real maps, all folds as one job"
    tables.append(Table(title, ("", "value"), rows))
log = (out / "tests.log").read_text() if (out / "tests.log").exists() else ""
lines = re.findall(r"^(?:FAILED|ERROR).*|^\d+ (?:passed|failed).*", log, re.M)
tables.append(Table("Tests", ("result",), [(line[:200],) for line in lines]))
machine = next((suite["machine"] for suite in found.values()), {})
smi = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
try:
    machine["gpu"] = subprocess.run(smi, capture_output=True, text=True).stdout.strip()
except FileNotFoundError:
    machine["gpu"] = "none"
machine["commit"] = commit
head = ", ".join(f"{name} {value}" for name, value in machine.items())
(out / "gpu.md").write_text("\n".join(["# GPU report\n", head + "\n", *map(str, tables)]))
record = {"machine": machine, "tables": [table._asdict() for table in tables]}
(out / "gpu.json").write_text(json.dumps(record, indent=1) + "\n")
print(f"{out}/gpu.md, {out}/gpu.json")
EOF
