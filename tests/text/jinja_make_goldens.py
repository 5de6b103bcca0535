#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders with jinja2, as transformers does, what the tests of the template engine compare with.

    jinja_make_goldens.py own                    fills in the results of tests/text/data/jinja/*.json, in place
    jinja_make_goldens.py DIR OUT                renders every DIR/*.jinja over jinja_conversations.py; writes OUT/inputs.json
                                                 and OUT/NAME.jinja.json
    jinja_make_goldens.py verify DIR             compares jinja_reference.py with the transformers that is installed

The first are templates of our own, written by hand in those files; add a case without a result and run this.
The second are other people's, and neither they nor their output belong into this repository:
tools/fetch_test_data.sh makes them, with the packages of requirements.txt.
"""
import json
import multiprocessing
import pathlib
import sys

import jinja_conversations
import jinja_reference


def golden(source, given):
    return jinja_reference.outcome(jinja_reference.render, source, given)


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as out:
        json.dump(value, out, ensure_ascii=True)


def make_template(job):
    path, out = job
    source = path.read_text(encoding="utf-8")
    results = {name: golden(source, given) for name, given in jinja_conversations.make_inputs().items()}
    write_json(out / (path.name + ".json"), results)
    return len(results), sum("text" in result for result in results.values())


def make_template_goldens(folder, out):
    out.mkdir(parents=True)
    inputs = jinja_conversations.make_inputs()
    write_json(out / "inputs.json", {"now_seconds": jinja_reference.NOW_SECONDS, "inputs": inputs})
    with multiprocessing.Pool() as pool:
        counts = pool.map(make_template, [(path, out) for path in sorted(folder.glob("*.jinja"))], chunksize=1)
    print(f"{len(counts)} templates, {len(inputs)} inputs each: {sum(c for c, _ in counts)} cases, "
          f"{sum(t for _, t in counts)} of them texts", file=sys.stderr)


def make_own_goldens():
    folder = pathlib.Path(__file__).parent / "data" / "jinja"
    for path in sorted(folder.glob("*.json")):
        cases = json.loads(path.read_text(encoding="utf-8"))
        for case in cases:
            given = {"messages": [], **case.get("input", {})}
            result = golden(case["template"], given)
            for key in ("text", "error", "message"):
                case.pop(key, None)
            case.update(result)
            if result.get("error") in ("syntax", "error"):
                case.pop("message")  # the wording is not promised
        lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
        path.write_text("[\n" + lines + "\n]\n", encoding="utf-8")
        print(f"{path.name}: {len(cases)} cases")


def verify(folder):
    import datetime
    import transformers
    from transformers.utils import chat_template_utils

    class StoppedClock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return jinja_reference.now()

    chat_template_utils.datetime = StoppedClock

    def published(source, given):
        messages = chat_template_utils._normalize_chat_messages(given["messages"])
        texts, _ = chat_template_utils.render_jinja_template([messages], chat_template=source,
                                                             **jinja_reference.arguments(given))
        return texts[0]

    inputs = jinja_conversations.make_inputs()
    cases = differ = 0
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        for name, given in inputs.items():
            cases += 1
            if jinja_reference.outcome(published, source, given) != golden(source, given):
                differ += 1
                print("differs:", path.name, name)
    print(f"transformers {transformers.__version__}: {cases} cases, {differ} differ")
    return differ > 0


def main():
    arguments = sys.argv[1:]
    if arguments == ["own"]:
        make_own_goldens()
    elif len(arguments) == 2 and arguments[0] == "verify":
        sys.exit(verify(pathlib.Path(arguments[1])))
    elif len(arguments) == 2:
        make_template_goldens(pathlib.Path(arguments[0]), pathlib.Path(arguments[1]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
