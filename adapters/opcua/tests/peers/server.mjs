// An OPC UA server on node-opcua, driven by a test: one JSON object a line on standard input, one answer a line on
// standard output. Variables live in the namespace urn:peer, as s=NAME, below Objects/Plant.
//
//   {"add": {"name": "a", "type": "Double", "value": 1.5}}     {"add": {"name": "v", "type": "Int32", "value": [1, 2]}}
//   {"set": {"name": "a", "value": 2.5, "status": "BadSensorFailure", "time": 1700000000000}}
//   {"remove": {"name": "a"}}   {"hang_up": true}   {"end_subscriptions": true}   {"state": true}   {"get": {"name": "a"}}
//   {"wave": {"count": 10000, "every": 1000, "type": "Double"}}
//        many variables w0 … that all change on every tick; value = tick, ticks counted from 1

import { createInterface } from "node:readline";
import { createRequire } from "node:module";

for (const level of ["log", "info", "debug", "warn"]) console[level] = console.error; // standard output is for answers

const require = createRequire(import.meta.url);
const { OPCUAServer, MonitoredItem } = require("node-opcua-server");
const { SecurityPolicy, MessageSecurityMode } = require("node-opcua-secure-channel");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");
const { DataType, Variant, VariantArrayType } = require("node-opcua-variant");
const { DataValue } = require("node-opcua-data-value");
const { StatusCodes } = require("node-opcua-status-code");

const options = JSON.parse(process.argv[2] ?? "{}");
const answer = (found) => process.stdout.write(JSON.stringify(found) + "\n");

MonitoredItem.minimumSamplingInterval = 0; // a change is reported, not looked for, where a client asks for 0

const certificates = options.pki
  ? new OPCUACertificateManager({ rootFolder: options.pki, automaticallyAcceptUnknownCertificate: options.accept ?? true })
  : undefined;
if (certificates) await certificates.initialize();
const server = new OPCUAServer({
  port: options.port ?? 0,
  hostname: "127.0.0.1",
  host: "127.0.0.1",
  ...(certificates ? { serverCertificateManager: certificates, userCertificateManager: certificates } : {}),
  securityPolicies: [
    SecurityPolicy.None, SecurityPolicy.Basic256Sha256, SecurityPolicy.Aes128_Sha256_RsaOaep,
    SecurityPolicy.Aes256_Sha256_RsaPss,
  ],
  securityModes: [MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
  allowAnonymous: options.anonymous ?? true,
  userManager: { isValidUser: (name, password) => name === "operator" && password === "secret" },
  buildInfo: { productName: "peer", manufacturerName: "node" },
  serverCapabilities: {
    maxSessions: 50,
    operationLimits: {
      maxNodesPerRead: options.limit ?? 1000,
      maxMonitoredItemsPerCall: options.limit ?? 1000,
      maxNodesPerTranslateBrowsePathsToNodeIds: options.limit ?? 1000,
      maxNodesPerBrowse: options.limit ?? 100,
      maxNodesPerWrite: 1000,
      maxNodesPerHistoryReadData: 100,
    },
  },
});
await server.initialize();
const space = server.engine.addressSpace;
const own = space.registerNamespace("urn:peer");
const plant = own.addObject({ organizedBy: space.rootFolder.objects, browseName: "Plant" });
const known = new Map();

function variant(type, value) {
  const dataType = DataType[type];
  const big = (number) => {
    if (typeof number !== "string" || !type.endsWith("64")) return number;
    const whole = BigInt.asUintN(64, BigInt(number));
    return [Number(whole >> 32n), Number(whole & 0xffffffffn)];
  };
  const plain = (one) => (type === "DateTime" ? new Date(one) : type === "ByteString" ? Buffer.from(one, "hex") : big(one));
  return Array.isArray(value) && !type.endsWith("64")
    ? new Variant({ dataType, arrayType: VariantArrayType.Array, value: value.map(plain) })
    : new Variant({ dataType, arrayType: VariantArrayType.Scalar, value: plain(value) });
}

function add({ name, type, value, history }) {
  const node = own.addVariable({
    componentOf: plant, browseName: name, nodeId: `s=${name}`, dataType: type, minimumSamplingInterval: 0,
    accessLevel: "CurrentRead | CurrentWrite" + (history ? " | HistoryRead" : ""), userAccessLevel: "CurrentRead | CurrentWrite" + (history ? " | HistoryRead" : ""),
    ...(Array.isArray(value) ? { valueRank: 1, arrayDimensions: [value.length] } : {}),
  });
  node.setValueFromSource(variant(type, value), StatusCodes.Good);
  if (history) space.installHistoricalDataNode(node, { maxOnlineValues: 5000 });
  known.set(name, { node, type });
}

function wave({ count, every, type }) {
  const nodes = [];
  for (let at = 0; at < count; at++) {
    add({ name: `w${at}`, type, value: 0 });
    nodes.push(known.get(`w${at}`).node);
  }
  let tick = 0;
  const started = Date.now();
  const turn = () => {
    tick += 1;
    const value = new Variant({ dataType: DataType[type], value: tick });
    const now = new Date();
    for (const node of nodes) node.setValueFromSource(value, StatusCodes.Good, now);
    setTimeout(turn, Math.max(0, started + (tick + 1) * every - Date.now()));
  };
  setTimeout(turn, every);
}

const commands = {
  add: (one) => add(one),
  set: ({ name, value, status, time }) => {
    const { node, type } = known.get(name);
    const moment = time ? new Date(time) : new Date();
    node.setValueFromSource(variant(type, value), StatusCodes[status ?? "Good"], moment);
  },
  get: ({ name }) => {
    const { value } = known.get(name).node.readValue().value;
    return { value: Buffer.isBuffer(value) ? value.toString("hex") : value };
  },
  remove: ({ name }) => {
    space.deleteNode(known.get(name).node);
    known.delete(name);
  },
  hang_up: () => {
    for (const endpoint of server.endpoints) endpoint.abruptlyInterruptChannels();
  },
  end_subscriptions: () => {
    for (const session of Object.values(server.engine._sessions)) {
      for (const subscription of [...session.publishEngine.subscriptions]) {
        session.deleteSubscription(subscription.id);
      }
    }
  },
  state: () => ({
    sessions: server.engine.currentSessionCount,
    subscriptions: server.engine.currentSubscriptionCount,
    sent: known.get("w0") ? known.get("w0").node.readValue().value.value : 0,
  }),
  wave: (one) => wave(one),
};

await server.start();
answer({ port: server.endpoints[0].port });
for await (const line of createInterface({ input: process.stdin })) {
  const found = {};
  try {
    for (const [name, argument] of Object.entries(JSON.parse(line))) Object.assign(found, commands[name](argument) ?? {});
    answer({ ok: true, ...found });
  } catch (error) {
    answer({ error: String(error.stack) });
  }
}
await server.shutdown(0);
process.exit(0);
