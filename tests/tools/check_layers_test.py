#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/check_layers.py finds each kind of violation when one is planted, and nothing in a clean tree."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(__file__).resolve().parents[2] / "tools/check_layers.py"

LAYERS = """\
base      src/base      :
platform  src/platform  : base
kernels   kernels       : base
memory    src/memory    : base platform
model     src/model     : base memory
engine    src/engine    : base memory model
session   src/session   : base engine
public    include       :
tools     tools         : public
"""

CLEAN = {
    "src/base/result.h": "#include <string>\n",
    "src/memory/arena.h": '#include "base/result.h"\n#include <vector>\n',
    "src/memory/CMakeLists.txt": "mirage_room(memory DEPS base platform SOURCES arena.cc)\n",
    "src/platform/file.cc": "#include <fcntl.h>\n",
    "src/memory/saved.fbs": "",
    "src/memory/saved.cc": '#include "saved_generated.h"\n',
    "src/platform/cuda_device.cc": "#include <cuda_runtime.h>\n",
    "src/engine/engine.h": "std::string message;  // a logit is fine here\n",
    "src/session/session.h": "int tokens;  // never a logit\n",
    "src/model/arch/llama.cc": "switch (arch) {}\n",
    "kernels/ops.h": '#include "base/result.h"\n',
    "kernels/cuda/matmul.cu": '#include <cublasLt.h>\n#include "kernels/cuda/tile.cuh"\n',
    "kernels/cuda/tile.cuh": "",
    "include/mirage/mirage.h": "#include <stdint.h>\n",
    "tools/main.cc": '#include <signal.h>\n#include "mirage/mirage.h"\n',
}


class CheckLayers(unittest.TestCase):
    def check(self, files):
        """Exit status and output lines for the clean tree with `files` written over it."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in {"tools/layers.txt": LAYERS, **CLEAN, **files}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            done = subprocess.run([sys.executable, CHECKER, root], capture_output=True, text=True)
            return done.returncode, done.stdout.splitlines() + done.stderr.splitlines()

    def expect_one(self, files, line):
        status, lines = self.check(files)
        self.assertEqual(lines, [line])
        self.assertEqual(status, 1)

    def test_clean_tree_passes(self):
        self.assertEqual(self.check({}), (0, []))

    def test_generated_header_without_its_schema(self):
        self.expect_one({"src/base/saved.cc": '#include "saved_generated.h"\n'},
                        'src/base/saved.cc:1: "saved_generated.h": there is no saved.fbs beside the file')

    def test_upward_include(self):
        self.expect_one({"src/memory/arena.cc": '\n#include "model/model.h"\n', "src/model/model.h": ""},
                        "src/memory/arena.cc:2: memory may not include model (model/model.h)")

    def test_skipping_include_that_is_not_listed(self):
        self.expect_one({"src/session/session.cc": '#include "memory/arena.h"\n'},
                        "src/session/session.cc:1: session may not include memory (memory/arena.h)")

    def test_include_from_the_root_is_seen_too(self):
        self.expect_one({"src/memory/arena.cc": '#include "src/engine/engine.h"\n'},
                        "src/memory/arena.cc:1: memory may not include engine (src/engine/engine.h)")

    def test_angle_brackets_do_not_hide_an_include(self):
        self.expect_one({"kernels/ops.cc": "#include <memory/arena.h>\n"},
                        "kernels/ops.cc:1: kernels may not include memory (memory/arena.h)")

    def test_file_that_does_not_exist(self):
        self.expect_one({"src/memory/arena.cc": '#include "arena.h"\n'},
                        'src/memory/arena.cc:1: "arena.h" is found neither in src/ nor from the root')

    def test_cmake_dependency(self):
        self.expect_one({"src/memory/CMakeLists.txt": "# DEPS model\nmirage_room(memory\n  DEPS base model SOURCES a.cc)\n"},
                        "src/memory/CMakeLists.txt:2: memory may not depend on model")

    def test_cuda_header_outside_its_homes(self):
        self.expect_one({"src/memory/arena.cc": "#include <cuda_runtime_api.h>\n"},
                        "src/memory/arena.cc:1: <cuda_runtime_api.h> belongs in src/platform/cuda_* and kernels/cuda/ alone")
        self.expect_one({"src/platform/file.cc": "#include <cublasLt.h>\n"},
                        "src/platform/file.cc:1: <cublasLt.h> belongs in src/platform/cuda_* and kernels/cuda/ alone")

    def test_cuda_kernel_header_outside_the_kernels(self):
        self.expect_one({"kernels/ops.cc": '#include "kernels/cuda/tile.cuh"\n'},
                        'kernels/ops.cc:1: "kernels/cuda/tile.cuh" is for kernels/cuda/ alone')

    def test_operating_system_outside_platform(self):
        self.expect_one({"src/memory/arena.cc": "#include <sys/mman.h>\n"},
                        "src/memory/arena.cc:1: <sys/mman.h> belongs in src/platform alone")

    def test_text_in_an_engine_header(self):
        self.expect_one({"src/engine/request.h": "struct Request {\n  std::string prompt;\n};\n"},
                        "src/engine/request.h:2: the engine's headers hold no strings but messages")

    def test_session_names_logits(self):
        self.expect_one({"src/session/session.cc": "float* logits;\n"},
                        "src/session/session.cc:1: the session never handles logits")

    def test_switch_on_the_architecture(self):
        self.expect_one({"src/engine/engine.cc": "  switch (model_arch) {\n"},
                        "src/engine/engine.cc:1: behaviour follows config fields, not the architecture's name")

    def test_tools_see_the_public_header_alone(self):
        self.expect_one({"tools/main.cc": '#include "engine/engine.h"\n'},
                        "tools/main.cc:1: tools may not include engine (engine/engine.h)")

    def test_commented_includes_do_not_count(self):
        self.assertEqual(self.check({"src/memory/arena.cc": '/*\n#include "model/model.h"\n*/\n'}), (0, []))

    def test_unreadable_table_is_an_error_of_its_own(self):
        self.assertEqual(self.check({"tools/layers.txt": "base src/base base\n"}),
                         (2, ["check_layers.py: tools/layers.txt:1: expected `name folder : rooms`"]))
        self.assertEqual(self.check({"tools/layers.txt": "base src/base : text\n"}),
                         (2, ["check_layers.py: tools/layers.txt: base may include text, which is no room"]))


if __name__ == "__main__":
    unittest.main()
