// discord.js's proxy, as its documentation sets it up, in front of the address in BASE. Prints its own.
import { createServer } from "node:http";
import { proxyRequests } from "@discordjs/proxy";
import { REST } from "@discordjs/rest";

const rest = new REST({ api: `${process.env.BASE}/api`, rejectOnRateLimit: () => true, retries: 0 });
const server = createServer(proxyRequests(rest));
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
