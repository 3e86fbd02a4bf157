"""Copies an assembly without the resource types that the emulator does not know.

usage: omit.py FROM TO

Each omission is a line of OMITTED with its reason and is printed, so that the
emulator's word is never taken for more than it saw. A resource that another one refers
to cannot be omitted: that stops with both names.
"""

import json
import pathlib
import shutil
import sys

OMITTED = {
    "AWS::Events::Archive": "ministack 1.4.21: Unsupported resource type",
}


def references(value):
    """Yields the logical ids that a template value refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("Ref"), str):
            yield value["Ref"]
        target = value.get("Fn::GetAtt")
        if target:
            yield target[0] if isinstance(target, list) else target.split(".")[0]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def omit(template, name):
    resources = template.get("Resources", {})
    gone = {key for key, r in resources.items() if r["Type"] in OMITTED}
    for key in sorted(gone):
        kind = resources.pop(key)["Type"]
        print(f"verify: {name}: left out {key} ({kind}): {OMITTED[kind]}")
    for key, resource in resources.items():
        lost = gone.intersection(references(resource.get("Properties", {})))
        if lost:
            sys.exit(f"verify: {name}: {key} refers to {', '.join(sorted(lost))}, which cannot be left out")
        if isinstance(resource.get("DependsOn"), list):
            resource["DependsOn"] = [d for d in resource["DependsOn"] if d not in gone]
    return template


def main(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    for path in sorted(pathlib.Path(target).glob("*.template.json")):
        path.write_text(json.dumps(omit(json.loads(path.read_text()), path.name)))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
