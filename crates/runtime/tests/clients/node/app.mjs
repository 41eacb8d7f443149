// A service that answers with what iam-service answered: /axios and /fetch with their clients.
import axios from "axios";
import { createServer } from "node:http";

// guide: begin
import { AsyncLocalStorage } from "node:async_hooks";

const passed = ["x-goodgo-context", "x-correlation-id", "traceparent"];
const served = new AsyncLocalStorage();

/** Headers of the request being served that its calls carry on. */
export function continued() {
  const headers = served.getStore()?.headers ?? {};
  return Object.fromEntries(passed.filter((name) => name in headers).map((name) => [name, headers[name]]));
}

/** Wraps the server's handler; with Express: app.use((req, res, next) => served.run(req, next)). */
export const serving = (handler) => (req, res) => served.run(req, () => handler(req, res));

const iam = axios.create({ baseURL: process.env.IAM_SERVICE_URL });
iam.interceptors.request.use((config) => {
  config.headers.set(continued());
  return config;
});

const fetchIam = (path, init = {}) =>
  fetch(process.env.IAM_SERVICE_URL + path, { ...init, headers: { ...continued(), ...init.headers } });
// guide: end

const answers = {
  "/axios": async () => (await iam.get("/whoami")).data,
  "/fetch": async () => (await fetchIam("/whoami")).json(),
  // Not one line for the platform: what a service that was written without it does.
  "/plain": async () => (await axios.get(process.env.IAM_SERVICE_URL + "/whoami")).data,
};

const server = createServer(
  serving(async (req, res) => {
    const answer = answers[req.url];
    res.statusCode = answer ? 200 : 404;
    // Lets requests overlap, as they do where a service also asks a database.
    await new Promise((resolve) => setTimeout(resolve, 5));
    res.end(answer ? JSON.stringify(await answer()) : "");
  }),
);
server.listen(Number(process.env.PORT), "127.0.0.1");
