#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The README's C example compiles without a warning and answers: readme_test.py LIBRARY_DIR

The example runs on the model in MIRAGE_TEST_MODELS. Without one, it must at least compile and say what is wrong with a
file that does not exist; the exit status is then 77, skipped.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    library = sys.argv[1]
    example = re.search(r"```c\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    with tempfile.TemporaryDirectory() as folder:
        source, program = pathlib.Path(folder, "answer.c"), pathlib.Path(folder, "answer")
        source.write_text(example)
        subprocess.run(["cc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}",
                        source, f"-L{library}", "-lmirage", f"-Wl,-rpath,{library}", "-o", program], check=True)

        missing = subprocess.run([program, "no-such-file.gguf"], capture_output=True, text=True)
        assert missing.returncode == 1 and "no-such-file.gguf" in missing.stderr, missing
        assert missing.stdout == "", missing

        models = os.environ.get("MIRAGE_TEST_MODELS")
        if not models:
            print("skipped the model: MIRAGE_TEST_MODELS is not set")
            return 77
        answer = subprocess.run([program, pathlib.Path(models, "smollm2-135m.gguf"), "What is the capital of France?"],
                                capture_output=True, text=True, timeout=300)
        print(answer.stdout)
        assert answer.returncode == 0, answer
        # Sampled at the model's own temperature, so the wording varies; the word does not.
        assert "Paris" in answer.stdout, answer.stdout
        return 0


if __name__ == "__main__":
    sys.exit(main())
