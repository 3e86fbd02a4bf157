"""Looks at what the emulator made of a deploy, through its AWS APIs.

usage: deployed.py ASSEMBLY OUTPUTS_FILE (with AWS_ENDPOINT_URL and credentials in the environment)

It asks each service for what the templates of the assembly promise and fails on the first
promise that the deployed stacks do not keep.
"""

import json
import pathlib
import sys

import boto3


def check(what, holds, seen):
    print(f"verify: {'ok  ' if holds else 'FAIL'} {what}")
    if not holds:
        sys.exit(f"verify: {what}: the deployed stack says {seen!r}")


def resources(stack):
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return [r for page in pages for r in page["StackResourceSummaries"]]


def of_type(found, kind):
    return [r["PhysicalResourceId"] for r in found if r["ResourceType"] == kind]


def promised(assembly, kind):
    """The properties of every resource of a type in the templates."""
    templates = [json.loads(p.read_text()) for p in sorted(pathlib.Path(assembly).glob("*.template.json"))]
    return [r["Properties"] for t in templates for r in t.get("Resources", {}).values() if r["Type"] == kind]


def main(assembly, outputs):
    found = [r for stack in json.load(open(outputs, encoding="utf-8")) for r in resources(stack)]
    unfinished = [r["LogicalResourceId"] for r in found if r["ResourceStatus"] != "CREATE_COMPLETE"]
    check(f"{len(found)} resources are created", found and not unfinished, unfinished)

    functions = boto3.client("lambda")
    ours = []
    for name in of_type(found, "AWS::Lambda::Function"):
        configuration = functions.get_function_configuration(FunctionName=name)
        if configuration["Runtime"] == "provided.al2023":
            ours.append(configuration)
    want = sum(f.get("Runtime") == "provided.al2023" for f in promised(assembly, "AWS::Lambda::Function"))
    check(f"{want} functions run on provided.al2023", len(ours) == want, [f["FunctionName"] for f in ours])

    mappings = functions.list_event_source_mappings()["EventSourceMappings"]
    partial = [m for m in mappings if "ReportBatchItemFailures" in m.get("FunctionResponseTypes", [])]
    want = len(promised(assembly, "AWS::Lambda::EventSourceMapping"))
    check(f"{want} queues and streams are mapped, all with partial failures", len(partial) == want, mappings)

    s3 = boto3.client("s3")
    notified = [
        b for b in of_type(found, "AWS::S3::Bucket")
        if s3.get_bucket_notification_configuration(Bucket=b).get("QueueConfigurations")
    ]
    check("one bucket notifies a queue", len(notified) == 1, notified)
    policy = s3.get_bucket_policy(Bucket=notified[0])["Policy"]
    check("its policy denies untagged versions", "s3:ExistingObjectTag/stowage" in policy, policy)
    versioning = s3.get_bucket_versioning(Bucket=notified[0]).get("Status")
    check("it is versioned", versioning == "Enabled", versioning)

    dynamodb = boto3.client("dynamodb")
    tables = [dynamodb.describe_table(TableName=t)["Table"] for t in of_type(found, "AWS::DynamoDB::GlobalTable")]
    want = promised(assembly, "AWS::DynamoDB::GlobalTable")
    streams = [t for t in tables if t.get("StreamSpecification", {}).get("StreamViewType") == "NEW_AND_OLD_IMAGES"]
    check(f"of {len(want)} tables one has a stream", len(tables) == len(want) and len(streams) == 1, [t["TableName"] for t in tables])
    indexes = sorted(i["IndexName"] for i in streams[0].get("GlobalSecondaryIndexes", []))
    declared = sorted(i["IndexName"] for t in want if "StreamSpecification" in t for i in t["GlobalSecondaryIndexes"])
    check(f"the catalog has its {len(declared)} indexes", indexes == declared, indexes)

    gateway = boto3.client("apigatewayv2")
    apis = of_type(found, "AWS::ApiGatewayV2::Api")
    routes = gateway.get_routes(ApiId=apis[0])["Items"]
    want = len(promised(assembly, "AWS::ApiGatewayV2::Route"))
    open_routes = [r["RouteKey"] for r in routes if r.get("AuthorizationType") != "JWT"]
    check(f"each of {want} routes asks for a JWT", len(routes) == want and not open_routes, open_routes or len(routes))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
