// s3-ingest as one would write it in TypeScript with AWS's own SDK and Powertools (batch and
// idempotency): the peer that functions/s3-ingest is measured against. It makes the same
// calls for each object (upload, HEAD with checksums, workspace, first bytes, tag, the
// transaction that publishes) beside those that idempotency makes, and writes the same log
// line.
import { BatchProcessor, EventType, processPartialResponse } from "@aws-lambda-powertools/batch";
import { IdempotencyConfig, makeIdempotent } from "@aws-lambda-powertools/idempotency";
import { DynamoDBPersistenceLayer } from "@aws-lambda-powertools/idempotency/dynamodb";
import { DynamoDBClient, GetItemCommand, TransactWriteItemsCommand } from "@aws-sdk/client-dynamodb";
import { GetObjectCommand, HeadObjectCommand, PutObjectTaggingCommand, S3Client } from "@aws-sdk/client-s3";
import { marshall, unmarshall } from "@aws-sdk/util-dynamodb";
import { createHash } from "node:crypto";
import type { Context, SQSBatchResponse, SQSEvent, SQSRecord } from "aws-lambda";

const table = process.env.STOWAGE_TABLE!;
const bucket = process.env.STOWAGE_BUCKET!;
const dynamodb = new DynamoDBClient({});
const s3 = new S3Client({ forcePathStyle: true });

const persistenceStore = new DynamoDBPersistenceLayer({
  tableName: process.env.STOWAGE_IDEMPOTENCY_TABLE!,
  keyAttr: "pk",
  awsSdkV3Client: dynamodb,
});
const config = new IdempotencyConfig({ eventKeyJmesPath: "[key, version]" });

interface Created {
  key: string;
  version: string;
  size: number;
}

async function read(pk: string, sk: string): Promise<Record<string, any> | undefined> {
  const out = await dynamodb.send(
    new GetItemCommand({ TableName: table, Key: marshall({ pk, sk }), ConsistentRead: true }),
  );
  return out.Item && unmarshall(out.Item);
}

// detect knows what the benchmark sends, and a few others.
function detect(head: Buffer): string {
  if (head.subarray(0, 8).equals(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]))) return "image/png";
  if (head.subarray(0, 3).equals(Buffer.from([0xff, 0xd8, 0xff]))) return "image/jpeg";
  if (head.subarray(0, 5).toString("latin1") === "%PDF-") return "application/pdf";
  if (head.subarray(0, 4).equals(Buffer.from([0x50, 0x4b, 3, 4]))) return "application/zip";
  return "application/octet-stream";
}

async function ingest(created: Created): Promise<{ object: string }> {
  const [, workspace, , id] = created.key.split("/");
  const upload = await read(`U#${workspace}#${id}`, "UPLOAD");
  if (!upload || upload.s3Key !== created.key) throw new Error(`no upload is known for ${created.key}`);
  if (upload.state === "available") return { object: upload.object };
  const at = { Bucket: bucket, Key: created.key, VersionId: created.version };

  const head = await s3.send(new HeadObjectCommand({ ...at, ChecksumMode: "ENABLED" }));
  if (head.ContentLength !== upload.size) throw new Error("size_mismatch");
  if (head.ChecksumSHA256 !== upload.sha256) throw new Error("checksum_mismatch");
  const tenant = await read(`W#${workspace}`, "WORKSPACE");
  const first = await s3.send(new GetObjectCommand({ ...at, Range: "bytes=0-3071" }));
  const detected = detect(Buffer.from(await first.Body!.transformToByteArray()));
  if (tenant!.deniedTypes?.includes(detected) || detected !== upload.contentType) throw new Error("unsupported_type");
  await s3.send(new PutObjectTaggingCommand({ ...at, Tagging: { TagSet: [{ Key: "stowage", Value: "available" }] } }));

  const now = new Date().toISOString();
  const slash = upload.path.lastIndexOf("/");
  const facts = {
    size: upload.size, contentType: upload.contentType, detectedType: detected, sha256: upload.sha256,
    etag: head.ETag!.replaceAll('"', ""), s3Key: created.key, s3VersionId: created.version, integrity: "verified",
  };
  const object = {
    pk: `O#${workspace}#${upload.object}`, sk: "OBJECT", workspace, object: upload.object, path: upload.path,
    parent: upload.path.slice(0, Math.max(slash, 0)), name: upload.path.slice(slash + 1), state: "available", rev: 1, version: id, ...facts,
    createdAt: now, createdBy: upload.createdBy, updatedAt: now, updatedBy: upload.createdBy,
    gsi1pk: `W#${workspace}#DIR#${upload.path.slice(0, Math.max(slash, 0))}`, gsi1sk: upload.path.slice(slash + 1),
  };
  const absent = "attribute_not_exists(pk)";
  const { reservation, gsi3pk: _pk, gsi3sk: _sk, ...rest } = upload;
  await dynamodb.send(
    new TransactWriteItemsCommand({
      TransactItems: [
        {
          Put: {
            TableName: table, ConditionExpression: absent,
            Item: marshall({ pk: `P#${workspace}#${createHash("sha256").update(upload.path).digest("hex")}`, sk: "PATH", workspace, path: upload.path, object: upload.object }),
          },
        },
        { Put: { TableName: table, ConditionExpression: absent, Item: marshall(object) } },
        {
          Put: {
            TableName: table, ConditionExpression: absent,
            Item: marshall({ pk: object.pk, sk: `V#${id}`, workspace, object: upload.object, version: id, state: "available", ...facts, createdAt: now, createdBy: upload.createdBy }),
          },
        },
        {
          Put: {
            TableName: table, ConditionExpression: "#r = :r", ExpressionAttributeNames: { "#r": "rev" }, ExpressionAttributeValues: marshall({ ":r": upload.rev }),
            Item: marshall({ ...rest, state: "available", rev: upload.rev + 1, s3VersionId: created.version, endedAt: now, endedBy: "ingest" }),
          },
        },
        ...reservation.map((share: Record<string, number>) => ({
          Update: {
            TableName: table,
            Key: marshall({ pk: `W#${workspace}#USAGE#${share.shard}`, sk: "USAGE" }),
            UpdateExpression:
              "SET reservedBytes = reservedBytes - :b, reservedObjects = reservedObjects - :o, reservedUploads = reservedUploads - :u, " +
              "storedBytes = storedBytes + :b, storedObjects = storedObjects + :o, availableUploads = availableUploads + :u",
            ConditionExpression: "reservedBytes >= :b AND reservedObjects >= :o AND reservedUploads >= :u",
            ExpressionAttributeValues: marshall({ ":b": share.bytes, ":o": share.objects, ":u": share.uploads }),
          },
        })),
      ],
    }),
  );
  console.log(
    JSON.stringify({ time: now, level: "INFO", msg: "object published", key: created.key, version: created.version, workspace, upload: id, object: upload.object, rev: 1 }),
  );
  return { object: upload.object };
}

const once = makeIdempotent(ingest, { persistenceStore, config });

async function record(message: SQSRecord): Promise<void> {
  const body = JSON.parse(message.body);
  for (const r of body.Records) {
    if (!r.eventName.startsWith("ObjectCreated:")) continue;
    const { key, versionId, size } = r.s3.object;
    await once({ key: decodeURIComponent(key.replaceAll("+", " ")), version: versionId, size });
  }
}

const processor = new BatchProcessor(EventType.SQS);

export async function handler(event: SQSEvent, context: Context): Promise<SQSBatchResponse> {
  config.registerLambdaContext(context);
  return processPartialResponse(event, record, processor, { context });
}
