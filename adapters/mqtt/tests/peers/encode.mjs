// Reads one JSON payload a line, writes its Sparkplug B bytes as hexadecimal; and the other way for a line of hex.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const sparkplug = createRequire(import.meta.url)("sparkplug-payload").get("spBv1.0");
const plain = (_key, value) =>
  typeof value === "bigint" ? value.toString()
  : value && value.type === "Buffer" ? Buffer.from(value.data).toString("hex")
  : value;
for await (const line of createInterface({ input: process.stdin })) {
  if (line.startsWith("{")) {
    console.log(Buffer.from(sparkplug.encodePayload(JSON.parse(line))).toString("hex"));
  } else {
    console.log(JSON.stringify(sparkplug.decodePayload(Buffer.from(line, "hex")), plain));
  }
}
