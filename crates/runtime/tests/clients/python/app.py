"""A service that answers with what iam-service answered: /requests and /httpx with their clients."""

import asyncio
import os

import uvicorn

# guide: begin
from contextvars import ContextVar

import httpx
import requests
from fastapi import FastAPI, Request

PASSED = ("x-goodgo-context", "x-correlation-id", "traceparent")
served: ContextVar[dict] = ContextVar("served", default={})

app = FastAPI()


@app.middleware("http")
async def remember(request: Request, call_next):
    """Keeps the headers of the request being served that its calls carry on."""
    served.set({name: request.headers[name] for name in PASSED if name in request.headers})
    return await call_next(request)


class Continued(requests.Session):
    def request(self, method, url, headers=None, **kwargs):
        return super().request(method, url, headers={**served.get(), **(headers or {})}, **kwargs)


async def carry_on(request: httpx.Request):
    for name, value in served.get().items():
        request.headers.setdefault(name, value)


iam_url = os.environ["IAM_SERVICE_URL"]
iam_requests = Continued()
iam = httpx.AsyncClient(base_url=iam_url, event_hooks={"request": [carry_on]})
# guide: end


@app.get("/requests")
def with_requests():
    return iam_requests.get(f"{iam_url}/whoami").json()


@app.get("/httpx")
async def with_httpx():
    # Lets requests overlap, as they do where a service also asks a database.
    await asyncio.sleep(0.005)
    return (await iam.get("/whoami")).json()


@app.get("/plain")
def plain():
    # Not one line for the platform: what a service that was written without it does.
    return requests.get(f"{iam_url}/whoami").json()


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
