#!/usr/bin/env bash
# Builds the project against Python's torch with CUDA, runs its tests and its benches on the GPU, and prints a short table
# last. Everything else is printed before it, and kept in a log. Exits 0 where all that could be run went well.
#
#   bash scripts/gpu-check.sh [--quick]     --quick: only what needs the GPU, of the tests; no benches
#
# Needs: a GPU with its driver; nvcc with the CUDA runtime's headers; python3 with torch built for CUDA (or LIBTORCH);
# a C++ compiler, CMake, Ninja; libjpeg-turbo, libpng and zlib with their headers; Node 20.19 or newer; node_modules.
# A machine without Node or without a way to npm's registry takes them along: NODE_DIR names an unpacked Node (with
# bin/node), or node-*.tar.gz or node-*.tar.xz lies beside the project or in it; node_modules is carried as it is.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
root=$PWD
quick=
case "${1:-}" in
  '') ;;
  --quick) quick=1 ;;
  *)
    echo "gpu-check: unknown argument '$1'; expected --quick or none." >&2
    exit 2
    ;;
esac

started=$SECONDS
mkdir -p runs && log=${GPU_CHECK_LOG:-$root/runs/gpu-check.log}
: >"$log" || exit 1
table=()
failed=0

row() { table+=("$(printf '%-28s %-8s %s' "$1" "$2" "${3:-}")"); }

finish() {
  echo
  echo "step                         result   what"
  if ((${#table[@]} > 0)); then printf '%s\n' "${table[@]}"; fi
  printf '%-28s %-8s %s\n' total "$([ "$failed" = 0 ] && echo passed || echo FAILED)" "$((SECONDS - started)) s; log: $log"
  exit "$failed"
}

# What is missing is said all at once, since each try may cost a machine.
missing=0
lacks() {
  row "$1" MISSING "$2"
  missing=1
}

# step NAME COMMAND…: runs it, shows and keeps what it prints, and makes a row of it.
step() {
  local name=$1 since=$SECONDS status
  shift
  echo "== $name: $*" | tee -a "$log"
  "$@" 2>&1 | tee -a "$log"
  status=${PIPESTATUS[0]}
  if [ "$status" = 0 ]; then
    row "$name" passed "$((SECONDS - since)) s"
  else
    row "$name" FAILED "exit code $status after $((SECONDS - since)) s"
    failed=1
  fi
  return "$status"
}

# --- Node: on the PATH, else NODE_DIR, else a tarball beside the project.
node_is_fine() {
  "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' \
    >/dev/null 2>&1
}
find_node() {
  local found archive folder
  found=$(command -v node) && node_is_fine "$found" && return 0
  if [ -n "${NODE_DIR:-}" ] && node_is_fine "$NODE_DIR/bin/node"; then
    export PATH="$NODE_DIR/bin:$PATH"
    return 0
  fi
  for archive in "$root"/node-*.tar.* "$root"/../node-*.tar.*; do
    [ -f "$archive" ] || continue
    folder=${TMPDIR:-/tmp}/mode-ensemble-node
    rm -rf "$folder" && mkdir -p "$folder" && tar -xf "$archive" -C "$folder" --strip-components=1 || continue
    if node_is_fine "$folder/bin/node"; then
      export PATH="$folder/bin:$PATH"
      return 0
    fi
  done
  return 1
}
if find_node; then
  row Node found "$(node --version), $(command -v node)"
else
  lacks Node "20.19 or newer: put it on the PATH, name its folder in NODE_DIR, or lay node-*.tar.xz beside the project"
fi

# --- LibTorch: LIBTORCH, else Python's torch.
libtorch=${LIBTORCH:-}
if [ -z "$libtorch" ]; then
  libtorch=$(python3 -c 'import importlib.util as u, os; s = u.find_spec("torch"); print(os.path.dirname(s.origin))' 2>/dev/null)
fi
if [ -z "$libtorch" ]; then
  lacks LibTorch "python3 has no torch, and LIBTORCH names no folder"
elif [ ! -f "$libtorch/lib/libtorch_cuda.so" ]; then
  lacks LibTorch "$libtorch has no lib/libtorch_cuda.so: a build without CUDA"
else
  export LIBTORCH=$libtorch
  version=$(sed -n "s/^__version__[^'\"]*['\"]\\([^'\"]*\\)['\"].*/\\1/p" "$libtorch/version.py" 2>/dev/null)
  row LibTorch found "${version:-of unknown version}, $libtorch"
fi

# --- Tools.
for nvcc in "${CUDA_HOME:-}/bin/nvcc" "${CUDA_PATH:-}/bin/nvcc" "$(command -v nvcc)" /usr/local/cuda/bin/nvcc; do
  [ -x "$nvcc" ] && break
done
if [ -x "$nvcc" ]; then
  # CMake asks this variable first.
  export CUDACXX=$nvcc
  row nvcc found "$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p'), $nvcc"
else
  lacks nvcc "the CUDA toolkit's compiler; CUDA_HOME may name its folder"
fi
for tool in cmake ninja c++; do
  if command -v "$tool" >/dev/null; then row "$tool" found "$(command -v "$tool")"; else lacks "$tool" "not on the PATH"; fi
done
if [ -d node_modules/cmake-js ] && [ -d node_modules/typescript ]; then
  row node_modules found ""
else
  row node_modules absent "npm ci is tried; without a way to npm's registry carry the folder"
fi

# --- The GPU.
if gpus=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null) && [ -n "$gpus" ]; then
  row GPU found "${gpus//$'\n'/; }"
else
  lacks GPU "nvidia-smi shows none: there is no GPU, or no driver for it"
fi
if [ "$missing" = 1 ]; then
  failed=1
  finish
fi

# --- Build, tests, benches. What does not build cannot be tested; after a failed test the others are run all the same.
step build node scripts/setup.mjs || finish
node bin/mode-ensemble.js doctor 2>&1 | tee -a "$log"
step 'GPU against CPU' node bin/mode-ensemble.js doctor --check-gpus
step 'tests on the GPU' node scripts/test.mjs e2e/cuda unit/device unit/cuda-compile
if [ -z "$quick" ]; then
  step 'all tests' node scripts/test.mjs
  if [ "$(nvidia-smi --list-gpus | wc -l)" -gt 1 ]; then
    step 'ranks over NCCL' node bin/mode-ensemble.js train --made-up-data --arch cifar-resnet18 --ranks 2 --batch-size 256
  else
    row 'ranks over NCCL' skipped 'there is one GPU; NCCL was tried with one rank above'
  fi
  step 'bench on the GPU' node dist/bench/gpu.js && table+=("$(grep -A99 '^network .*precision' "$log" | sed 's/^/  /')")
fi
finish
