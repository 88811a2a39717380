#!/usr/bin/env bash
# Trains MixCSE and scores it:  bash run_unsup_example.sh [--profile paper|demo] [any train.py flag]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. mixcse/environment.sh ''  # no extra; without it, our own first argument would be taken for one
exec python -m mixcse.example "$@"
