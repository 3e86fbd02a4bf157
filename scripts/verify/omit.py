"""Copies an assembly without the resource types that the emulator does not know.

usage: omit.py FROM TO

Each omission is a line of OMITTED with its reason and is printed, so that the
emulator's word is never taken for more than it saw. A resource that another one refers
to can be omitted only if it is of STOOD_IN_FOR, where a text takes the place of what it
would have said; otherwise that stops with both names.
"""

import json
import pathlib
import shutil
import sys

UNSUPPORTED = "ministack 1.4.21: Unsupported resource type"
NO_DATABASE = "ministack 1.4.21 has no Aurora with IAM, and starts other databases in Docker"

OMITTED = {
    "AWS::Events::Archive": UNSUPPORTED,
    "AWS::EC2::SecurityGroupIngress": UNSUPPORTED,
    "AWS::EC2::SecurityGroupEgress": UNSUPPORTED,
    "AWS::RDS::DBSubnetGroup": UNSUPPORTED,
    "AWS::RDS::DBClusterParameterGroup": UNSUPPORTED,
    "AWS::RDS::DBCluster": NO_DATABASE,
    "AWS::RDS::DBInstance": NO_DATABASE,
    "AWS::RDS::DBProxy": UNSUPPORTED,
    "AWS::RDS::DBProxyTargetGroup": UNSUPPORTED,
    "AWS::RDS::DBProxyEndpoint": UNSUPPORTED,
    "Custom::StowageMigrations": "it would migrate the database that is left out",
}

# Types whose host names and ids stand in environments and policies, which nothing reads
# during a deployment.
STOOD_IN_FOR = {"AWS::RDS::DBCluster", "AWS::RDS::DBProxy", "AWS::RDS::DBProxyEndpoint"}
STAND_IN = "left:out:of:this:deployment:by:omit-py"


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


def stand_in(value, gone):
    """Replaces what refers to a resource of gone by a text."""
    if isinstance(value, dict):
        if gone.intersection(references({k: v for k, v in value.items() if k in ("Ref", "Fn::GetAtt")})):
            return STAND_IN
        return {key: stand_in(inner, gone) for key, inner in value.items()}
    if isinstance(value, list):
        return [stand_in(inner, gone) for inner in value]
    return value


def omit(template, name):
    resources = template.get("Resources", {})
    gone = {key for key, r in resources.items() if r["Type"] in OMITTED}
    spoken_for = {key for key in gone if resources[key]["Type"] in STOOD_IN_FOR}
    for key in sorted(gone):
        kind = resources.pop(key)["Type"]
        print(f"verify: {name}: left out {key} ({kind}): {OMITTED[kind]}")
    for section in ("Resources", "Outputs"):
        if section in template:
            template[section] = stand_in(template[section], spoken_for)
    resources = template.get("Resources", {})
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
