// POST /v1/uploads as one would write it in TypeScript with AWS's own SDK: the peer that
// functions/upload-api is measured against. It makes the same calls (the rate of the
// workspace, the workspace, the owner of the path, the transaction that reserves and opens),
// signs the same PUT and writes the same log line.
import { createHash, randomBytes } from "node:crypto";
import {
  ConditionalCheckFailedException,
  DynamoDBClient,
  GetItemCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { marshall, unmarshall } from "@aws-sdk/util-dynamodb";

interface Event {
  requestContext: {
    requestId: string;
    authorizer?: { jwt?: { claims?: Record<string, string> } };
  };
  headers: Record<string, string>;
  body?: string;
  isBase64Encoded?: boolean;
}

interface Answer {
  statusCode: number;
  headers: Record<string, string>;
  body: string;
}

interface NewUpload {
  path: string;
  size: number;
  contentType: string;
  sha256: string;
  ifExists?: "fail" | "version";
  expiresIn?: number;
}

class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

const table = process.env.STOWAGE_TABLE!;
const bucket = process.env.STOWAGE_BUCKET!;
const dynamodb = new DynamoDBClient({});
const s3 = new S3Client({ forcePathStyle: true });

// member reads a membership, at most once a minute.
const members = new Map<string, { role: string; readAt: number }>();

async function role(workspace: string, sub: string): Promise<string> {
  const key = `${workspace} ${sub}`;
  const held = members.get(key);
  if (held && Date.now() - held.readAt < 60_000) return held.role;
  const member = await read(`W#${workspace}`, `M#${sub}`);
  if (!member) throw new Refusal(403, "forbidden", "you are not a member of that workspace");
  members.set(key, { role: member.role, readAt: Date.now() });
  return member.role;
}

async function read(pk: string, sk: string): Promise<Record<string, any> | undefined> {
  const out = await dynamodb.send(
    new GetItemCommand({ TableName: table, Key: marshall({ pk, sk }), ConsistentRead: true }),
  );
  return out.Item && unmarshall(out.Item);
}

async function caller(event: Event): Promise<{ workspace: string; sub: string }> {
  const claims = event.requestContext.authorizer?.jwt?.claims;
  if (!claims?.sub) throw new Refusal(401, "unauthenticated", "an access token is needed");
  if (!(claims.scope ?? "").split(" ").includes("stowage/write")) {
    throw new Refusal(403, "forbidden", "the token lacks the scope stowage/write");
  }
  const listed = (claims["stowage:workspaces"] ?? "").split(" ").map((entry) => entry.split(":")[0]);
  const workspace = event.headers["stowage-workspace"] ?? (listed.length === 1 ? listed[0] : "");
  if (!listed.includes(workspace)) throw new Refusal(403, "forbidden", "you are not a member of that workspace");
  if (!["owner", "writer"].includes(await role(workspace, claims.sub))) {
    throw new Refusal(403, "forbidden", "this needs the role writer");
  }
  return { workspace, sub: claims.sub };
}

// spend takes a token out of the workspace's bucket, which is taken to be full.
async function spend(workspace: string): Promise<void> {
  const perSecond = 1_000_000;
  const now = Date.now() * 1000;
  try {
    await dynamodb.send(
      new UpdateItemCommand({
        TableName: table,
        Key: marshall({ pk: `W#${workspace}#RATE`, sk: "RATE" }),
        UpdateExpression: "SET #s = :after, #w = :w",
        ConditionExpression: "attribute_not_exists(#s) OR #s < :least",
        ExpressionAttributeNames: { "#s": "spent", "#w": "workspace" },
        ExpressionAttributeValues: marshall({ ":after": now - perSecond + 1, ":least": now, ":w": workspace }),
        ReturnValues: "ALL_NEW",
      }),
    );
  } catch (err) {
    if (err instanceof ConditionalCheckFailedException) throw new Refusal(429, "rate_limited", "try again in 1 s");
    throw err;
  }
}

function parse(event: Event): NewUpload {
  const text = event.isBase64Encoded ? Buffer.from(event.body ?? "", "base64").toString() : event.body ?? "";
  if (text.length > 1 << 20) throw new Refusal(413, "too_large", "the request body is larger than 1 MiB");
  const body = JSON.parse(text) as NewUpload;
  const { path, size, contentType, sha256 } = body;
  if (typeof path !== "string" || !path || Buffer.byteLength(path) > 1024 || path !== path.normalize("NFC") || /[\p{Cc}\p{Bidi_Control}\\]/u.test(path)) {
    throw new Refusal(400, "invalid_argument", "body.path: is not a path");
  }
  if (path.split("/").some((s) => !s || s === "." || s === ".." || /^ |[ .]$/.test(s))) {
    throw new Refusal(400, "invalid_argument", "body.path: has a segment that is no name");
  }
  if (!Number.isSafeInteger(size) || size < 0) throw new Refusal(400, "invalid_argument", "body.size: is no length");
  if (size > 100 << 20) throw new Refusal(413, "too_large", "a single PUT carries at most 100 MiB");
  if (typeof contentType !== "string" || !/^[\w.+-]+\/[\w.+-]+(;.*)?$/.test(contentType)) {
    throw new Refusal(400, "invalid_argument", "body.contentType: is not a media type");
  }
  if (typeof sha256 !== "string" || Buffer.from(sha256, "base64").length !== 32) {
    throw new Refusal(400, "invalid_argument", "body.sha256: must be the base64 of 32 bytes");
  }
  return body;
}

const base32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

function ulid(now: number): string {
  let id = "";
  for (let i = 45; i >= 0; i -= 5) id += base32[Math.floor(now / 2 ** i) % 32];
  for (const byte of randomBytes(16)) id += base32[byte % 32];
  return id;
}

async function sign(key: string, upload: NewUpload): Promise<string> {
  const command = new PutObjectCommand({
    Bucket: bucket,
    Key: key,
    ContentLength: upload.size,
    ContentType: upload.contentType,
    ChecksumSHA256: upload.sha256,
    IfNoneMatch: "*",
  });
  const signed = new Set(["content-length", "content-type", "if-none-match", "x-amz-checksum-sha256"]);
  return getSignedUrl(s3, command, { expiresIn: upload.expiresIn ?? 900, signableHeaders: signed, unhoistableHeaders: signed });
}

async function open(event: Event): Promise<Answer> {
  const { workspace, sub } = await caller(event);
  await spend(workspace);
  const upload = parse(event);
  const tenant = await read(`W#${workspace}`, "WORKSPACE");
  if (!tenant) throw new Refusal(404, "not_found", "there is no such workspace");
  if (upload.size > tenant.maxObjectBytes) throw new Refusal(413, "too_large", "the object is too large");
  if (tenant.deniedTypes?.includes(upload.contentType.split(";")[0].trim().toLowerCase())) {
    throw new Refusal(415, "unsupported_type", "the workspace does not accept that media type");
  }
  const now = new Date();
  const id = ulid(now.getTime());
  let object = ulid(now.getTime());
  const owner = await read(`P#${workspace}#${createHash("sha256").update(upload.path).digest("hex")}`, "PATH");
  if (owner) {
    if (upload.ifExists !== "version") throw new Refusal(409, "path_taken", "an object owns this path");
    object = owner.object;
  }
  const key = `c/${workspace}/${object}/${id}`;
  const url = await sign(key, upload);
  const life = (upload.expiresIn ?? 900) * 1000;
  const expiresAt = new Date(now.getTime() + life + 3_600_000).toISOString();
  const shard = Math.floor(Math.random() * tenant.shards);
  await dynamodb.send(
    new TransactWriteItemsCommand({
      TransactItems: [
        {
          Update: {
            TableName: table,
            Key: marshall({ pk: `W#${workspace}#USAGE#${shard}`, sk: "USAGE" }),
            UpdateExpression:
              "SET availableBytes = availableBytes + :d0, availableObjects = availableObjects + :d1, availableUploads = availableUploads + :d2, " +
              "reservedBytes = reservedBytes + :d3, reservedObjects = reservedObjects + :d4, reservedUploads = reservedUploads + :d5",
            ConditionExpression: "availableBytes >= :n0 AND availableObjects >= :n1 AND availableUploads >= :n2",
            ExpressionAttributeValues: marshall({
              ":d0": -upload.size, ":d1": -1, ":d2": -1, ":d3": upload.size, ":d4": 1, ":d5": 1,
              ":n0": upload.size, ":n1": 1, ":n2": 1,
            }),
          },
        },
        {
          Put: {
            TableName: table,
            ConditionExpression: "attribute_not_exists(pk)",
            Item: marshall({
              pk: `U#${workspace}#${id}`, sk: "UPLOAD", workspace, upload: id, object, path: upload.path, size: upload.size,
              contentType: upload.contentType, sha256: upload.sha256, mode: "single", partSize: 0,
              ifExists: upload.ifExists ?? "fail", state: "open", rev: 1,
              reservation: [{ shard, bytes: upload.size, objects: 1, uploads: 1 }],
              s3Key: key, createdBy: sub, createdAt: now.toISOString(), expiresAt,
              gsi3pk: `EXP#${expiresAt.slice(0, 13)}#${Math.floor(Math.random() * 4)}`, gsi3sk: expiresAt,
            }),
          },
        },
      ],
    }),
  );
  return {
    statusCode: 201,
    headers: { "content-type": "application/json", location: `/v1/uploads/${id}` },
    body: JSON.stringify({
      upload: {
        id, objectId: object, path: upload.path, state: "open", size: upload.size, contentType: upload.contentType,
        mode: "single", ifExists: upload.ifExists ?? "fail", createdAt: now.toISOString(), createdBy: sub, expiresAt,
      },
      put: {
        url, method: "PUT", expiresAt: new Date(now.getTime() + life).toISOString(),
        headers: { "content-type": upload.contentType, "if-none-match": "*", "x-amz-checksum-sha256": upload.sha256 },
      },
    }),
  };
}

export async function handler(event: Event): Promise<Answer> {
  const begun = Date.now();
  let answer: Answer;
  try {
    answer = await open(event);
  } catch (err) {
    const refusal = err instanceof Refusal ? err : new Refusal(500, "internal", String(err));
    answer = {
      statusCode: refusal.status,
      headers: { "content-type": "application/problem+json" },
      body: JSON.stringify({ status: refusal.status, code: refusal.code, detail: refusal.message }),
    };
  }
  console.log(
    JSON.stringify({
      time: new Date().toISOString(), level: "INFO", msg: "request", httpRequestId: event.requestContext.requestId,
      route: "POST /v1/uploads", status: answer.statusCode, millis: Date.now() - begun,
    }),
  );
  return answer;
}
