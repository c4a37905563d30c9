#!/usr/bin/env bash
# Everything that is measured on an accelerator, in one command:
#
#   benchmarks/accelerator.sh PEERS_PYTHON OUTPUT_FOLDER
#
# ksim and the peers side by side (see compare.py), then the humanoid trained and evaluated at
# 1 m/s without pushes. TINY=1 only checks that everything runs, on a CPU if need be.
set -euo pipefail

peers=$1
output=$(mkdir -p "$2" && cd "$2" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

size=(num_envs=8192 batch_size=2048 epochs_per_log_step=5)
tiny=()
episodes=128
if [[ -n "${TINY:-}" ]]; then
    size=(num_envs=8 batch_size=4 rollout_length_frames=4 num_iterations=1 "engine.impl=jax")
    tiny=(--tiny --repeats 1)
    episodes=2
fi

cd "$root"
python -m benchmarks.compare --gpu --peers "$peers" "${tiny[@]}" | tee "$output/compare.md"
cd "$output"
python -m ksim_cli train task=humanoid engine=mjx run_dir=humanoid "${size[@]}"
python -m ksim_cli eval checkpoint=humanoid num_episodes=$episodes \
    'commands.linear_velocity.x_range=[1,1]' 'commands.linear_velocity.y_range=[0,0]' \
    commands.linear_velocity.zero_probability=0 'commands.angular_velocity.range=[0,0]' \
    events.push=null
