"""Does one thing that goes wrong and shows what a program gets to see of it. Arguments: sync or async, then a connection
string, or endpoint and key; PROBLEM_ID names an identity to delete instead of creating one."""

import asyncio
import inspect
import os
import sys

import azure.communication.identity as blocking
import azure.communication.identity.aio as asynchronous
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError

kind, where, *key = sys.argv[1:]


async def main():
    client_type = (asynchronous if kind == "async" else blocking).CommunicationIdentityClient
    try:
        client = client_type(where, AzureKeyCredential(key[0])) if key else client_type.from_connection_string(where)
        if "PROBLEM_ID" in os.environ:
            work = client.delete_user(blocking.CommunicationUserIdentifier(os.environ["PROBLEM_ID"]))
        else:
            work = client.create_user()
        if inspect.isawaitable(work):
            await work
        print("no problem")
    except Exception as error:  # noqa: BLE001 whatever it is, it is shown
        print(f"{type(error).__module__}.{type(error).__name__}: {error}")
        if isinstance(error, HttpResponseError) and error.response is not None:
            reason = error.response.headers.get("x-linarite-reason")
            print(error.status_code, f"x-linarite-reason: {reason}" if reason else "")


asyncio.run(main())
