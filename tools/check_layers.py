#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks who includes whom, and the other "nevers" of docs/ARCHITECTURE.md.

    tools/check_layers.py [ROOT]

Reads ROOT/tools/layers.txt and prints one line per violation, FILE:LINE: what is wrong. Exit status 1 when there is
any, 2 when layers.txt cannot be read.

  - a room includes only rooms that layers.txt lists for it, and so do its CMake DEPS;
  - quoted includes name a file that exists, from src/, the repository root or include/;
  - CUDA headers appear only in src/platform/cuda_* and kernels/cuda/;
  - operating system headers appear only in src/platform/;
  - the engine's headers hold no strings but messages;
  - src/session never names logits;
  - nothing outside src/model/arch/ switches on the architecture.
"""

import pathlib
import re
import sys

SOURCES = {".h", ".hpp", ".c", ".cc", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
CUDA_HEADER = re.compile(r"^(cuda|cublas|curand|nvrtc|nvtx|cooperative_groups|cub/|thrust/|mma\.h)|\.cuh$")
OS_HEADER = re.compile(
    r"^(sys/|linux/|asm/|arpa/|net|unistd\.h|fcntl\.h|pthread\.h|sched\.h|dlfcn\.h|poll\.h|signal\.h|csignal|"
    r"liburing|numa|malloc\.h|termios\.h|filesystem$|fstream$)")
ENGINE_STRING = re.compile(r"\bstd::string(_view)?\b")
ENGINE_STRING_ALLOWED = re.compile(r"message|error|reason|what|log", re.IGNORECASE)
CPP_COMMENT = re.compile(r'//.*?$|/\*.*?\*/|"(?:\\.|[^"\\])*"', re.MULTILINE | re.DOTALL)


class Room:
    def __init__(self, name, folder, allowed):
        self.name, self.folder, self.allowed = name, folder, allowed


def read_rooms(root):
    rooms = []
    for number, line in enumerate((root / "tools/layers.txt").read_text().splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        head, colon, allowed = line.partition(":")
        fields = head.split()
        if not colon or len(fields) != 2:
            raise ValueError(f"tools/layers.txt:{number}: expected `name folder : rooms`")
        rooms.append(Room(fields[0], fields[1], allowed.split()))
    names = {room.name for room in rooms}
    for room in rooms:
        for name in room.allowed:
            if name not in names:
                raise ValueError(f"tools/layers.txt: {room.name} may include {name}, which is no room")
    return rooms


def without_comments(text):
    """The text with comments blanked, line numbers kept."""
    def blank(match):
        found = match.group(0)
        return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)
    return CPP_COMMENT.sub(blank, text)


def room_of(path, rooms):
    """The room whose folder holds `path`: the longest match, so that a folder may lie in another."""
    inside = [room for room in rooms if path.startswith(room.folder + "/")]
    return max(inside, key=lambda room: len(room.folder)) if inside else None


def resolve(root, name):
    for prefix in ("src/", "", "include/"):
        if (root / (prefix + name)).is_file():
            return prefix + name
    return None


def check_include(root, rooms, room, path, bracket, name):
    cuda_home = path.startswith(("src/platform/cuda_", "kernels/cuda/"))
    if bracket == "<" and resolve(root, name) is None:
        if CUDA_HEADER.search(name) and not cuda_home:
            return f"<{name}> belongs in src/platform/cuda_* and kernels/cuda/ alone"
        if OS_HEADER.search(name) and room.name not in ("platform", "tools", "samples") and not cuda_home:
            return f"<{name}> belongs in src/platform alone"
        return None
    target = resolve(root, name)
    if target is None and name.endswith("_generated.h"):  # the build makes it, of the room's own schema
        schema = (root / path).with_name(name.removesuffix("_generated.h") + ".fbs")
        return None if schema.is_file() else f'"{name}": there is no {schema.name} beside the file'
    if target is None:
        return f'"{name}" is found neither in src/ nor from the root'
    if target.startswith("kernels/cuda/") and not path.startswith("kernels/cuda/"):
        return f'"{name}" is for kernels/cuda/ alone'
    other = room_of(target, rooms)
    if other is None:
        return f'"{name}" is in no room of tools/layers.txt'
    if other is not room and other.name not in room.allowed:
        return f"{room.name} may not include {other.name} ({name})"
    return None


def check_source(root, rooms, room, path):
    text = without_comments((root / path).read_text(errors="replace"))
    for number, line in enumerate(text.splitlines(), 1):
        include = INCLUDE.match(line)
        if include:
            wrong = check_include(root, rooms, room, path, include.group(1), include.group(2))
            if wrong:
                yield number, wrong
        if room.name == "engine" and path.endswith(".h") and ENGINE_STRING.search(line):
            if not ENGINE_STRING_ALLOWED.search(line):
                yield number, "the engine's headers hold no strings but messages"
        if room.name == "session" and re.search(r"logits?\b", line, re.IGNORECASE):
            yield number, "the session never handles logits"
        if re.search(r"\bswitch\s*\(\s*\w*arch", line) and not path.startswith("src/model/arch/"):
            yield number, "behaviour follows config fields, not the architecture's name"


def check_cmake(root, rooms, room, path):
    text = re.sub(r"#[^\n]*", "", (root / path).read_text())
    for call in re.finditer(r"\bmirage_room\(\s*(\w+)([^)]*)\)", text):
        deps = re.search(r"\bDEPS\b((?:\s+(?!SOURCES\b|LIBS\b)\w+)*)", call.group(2))
        for name in deps.group(1).split() if deps else []:
            # A room's extra targets (kernels_ref) carry its name as their prefix.
            if name not in room.allowed and not name.startswith(room.name):
                yield text[: call.start()].count("\n") + 1, f"{call.group(1)} may not depend on {name}"


def violations(root):
    rooms = read_rooms(root)
    for room in rooms:
        for file in sorted((root / room.folder).rglob("*")):
            path = file.relative_to(root).as_posix()
            if room_of(path, rooms) is not room:
                continue
            if file.name == "CMakeLists.txt":
                found = check_cmake(root, rooms, room, path)
            elif file.suffix in SOURCES:
                found = check_source(root, rooms, room, path)
            else:
                continue
            for number, wrong in found:
                yield f"{path}:{number}: {wrong}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    try:
        found = list(violations(root))
    except (OSError, ValueError) as error:
        print(f"check_layers.py: {error}", file=sys.stderr)
        return 2
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
