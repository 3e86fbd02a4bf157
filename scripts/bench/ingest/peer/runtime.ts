// The peer's runtime: it asks Lambda's Runtime API for one event after the other, with as
// little around the handler as there can be.
import { Agent, request } from "node:http";
import type { Context } from "aws-lambda";
import { handler } from "./handler";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API!.split(":");
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

function call(method: string, path: string, headers: Record<string, string>, body: string): Promise<{ id: string; deadline: number; body: string }> {
  return new Promise((resolve, reject) => {
    const req = request({ host, port, agent, method, path: `/2018-06-01/runtime/${path}`, headers }, (res) => {
      const chunks: Buffer[] = [];
      res.on("data", (chunk: Buffer) => chunks.push(chunk));
      res.on("end", () =>
        resolve({
          id: String(res.headers["lambda-runtime-aws-request-id"]),
          deadline: Number(res.headers["lambda-runtime-deadline-ms"]),
          body: Buffer.concat(chunks).toString(),
        }),
      );
      res.on("error", reject);
    });
    req.on("error", reject);
    req.end(body);
  });
}

// contextOf is what Powertools asks of Lambda's context.
function contextOf(next: { id: string; deadline: number }): Context {
  return {
    awsRequestId: next.id,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME!,
    getRemainingTimeInMillis: () => next.deadline - Date.now(),
  } as Context;
}

async function main(): Promise<void> {
  for (;;) {
    const next = await call("GET", "invocation/next", {}, "");
    const answer = JSON.stringify(await handler(JSON.parse(next.body), contextOf(next)));
    await call("POST", `invocation/${next.id}/response`, { "content-length": String(Buffer.byteLength(answer)) }, answer);
  }
}

main().catch((err: unknown) => {
  console.error(err);
  process.exit(1);
});
