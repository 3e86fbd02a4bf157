"""Looks at what the emulator made of a deploy, through its AWS APIs.

usage: deployed.py OUTPUTS_FILE (with AWS_ENDPOINT_URL and credentials in the environment)

It asks each service for what the template promises and fails on the first promise that
the deployed stack does not keep.
"""

import json
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


def main(outputs):
    found = [r for stack in json.load(open(outputs, encoding="utf-8")) for r in resources(stack)]
    unfinished = [r["LogicalResourceId"] for r in found if r["ResourceStatus"] != "CREATE_COMPLETE"]
    check(f"{len(found)} resources are created", found and not unfinished, unfinished)

    functions = boto3.client("lambda")
    ours = []
    for name in of_type(found, "AWS::Lambda::Function"):
        configuration = functions.get_function_configuration(FunctionName=name)
        if configuration["Runtime"] == "provided.al2023":
            ours.append(configuration)
    check("four functions run on provided.al2023", len(ours) == 4, [f["FunctionName"] for f in ours])

    mappings = functions.list_event_source_mappings()["EventSourceMappings"]
    partial = [m for m in mappings if "ReportBatchItemFailures" in m.get("FunctionResponseTypes", [])]
    check("the queue and the stream are mapped with partial failures", len(partial) == 2, mappings)

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
    streams = [t for t in tables if t.get("StreamSpecification", {}).get("StreamViewType") == "NEW_AND_OLD_IMAGES"]
    check("one of two tables has a stream", len(tables) == 2 and len(streams) == 1, [t["TableName"] for t in tables])
    indexes = sorted(i["IndexName"] for i in streams[0].get("GlobalSecondaryIndexes", []))
    check("the catalog has its indexes", indexes == ["gsi1", "gsi2", "gsi3"], indexes)

    gateway = boto3.client("apigatewayv2")
    apis = of_type(found, "AWS::ApiGatewayV2::Api")
    routes = gateway.get_routes(ApiId=apis[0])["Items"]
    open_routes = [r["RouteKey"] for r in routes if r.get("AuthorizationType") != "JWT"]
    check("every route asks for a JWT", routes and not open_routes, open_routes)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
