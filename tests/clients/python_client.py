"""The Python SDK as a program uses it: run by run.ts in a process of its own, one release and one kind of client at a time."""

import asyncio
import base64
import inspect
import json
import re
import sys
import traceback
from datetime import datetime, timedelta, timezone

import azure.communication.identity as blocking
import azure.communication.identity.aio as asynchronous
import requests
from azure.communication.identity import CommunicationUserIdentifier
from azure.communication.identity._version import VERSION
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError

TASK = json.loads(sys.argv[1])
ASYNC = TASK["client"] == "async"
ENDPOINT = f"https://localhost:{TASK['port']}"
TOLERANCE = 0.05
RELEASE = tuple(int(part) for part in re.findall(r"\d+", VERSION)[:3])


class Absent(Exception):
    """This release cannot be asked for it."""


class Client:
    """Either kind of client behind the asynchronous interface."""

    def __init__(self, inner):
        self._inner = inner

    @classmethod
    def of(cls, connection_string, **options):
        return cls(cls._kind().from_connection_string(connection_string, **options))

    @classmethod
    def at(cls, endpoint, key, **options):
        # Before, the key itself.
        credential = AzureKeyCredential(key) if RELEASE >= (1, 4) else key
        return cls(cls._kind()(endpoint, credential, **options))

    @staticmethod
    def _kind():
        return (asynchronous if ASYNC else blocking).CommunicationIdentityClient

    def __getattr__(self, name):
        async def call(*given, **options):
            result = getattr(self._inner, name)(*given, **options)
            return await result if inspect.isawaitable(result) else result

        return call

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        close = getattr(self._inner, "close", None)
        if ASYNC and close is not None:
            await close()


async def status_of(token):
    """What the server tells a holder of the token: 200 while it holds, 401 from then on."""
    url, headers = f"{ENDPOINT}/-/whoami", {"Authorization": f"Bearer {token.token}"}
    if not ASYNC:
        return requests.get(url, headers=headers, timeout=10).status_code
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status


def assert_user(user):
    assert re.fullmatch(f"8:acs:{TASK['resourceId']}_[0-9a-f-]{{36}}", user.properties["id"]), user.properties["id"]


def instant(text):
    """Reads the seven decimals that the server writes."""
    whole, fraction = re.fullmatch(r"(.+?)\.(\d+)\+00:00", text).groups()
    return datetime.fromisoformat(f"{whole}.{fraction[:6]}").replace(tzinfo=timezone.utc)


def assert_token(token, minutes=1440):
    assert len(token.token.split(".")) == 3
    # This SDK hands over what it received: text that programs parse by themselves, or an instant in the first releases.
    expires = instant(token.expires_on) if isinstance(token.expires_on, str) else token.expires_on
    lives = (expires - datetime.now(timezone.utc)).total_seconds() / 60
    assert abs(lives - minutes) <= minutes * TOLERANCE, f"lives for {lives} minutes, not {minutes}"


def assert_scopes(token, scopes):
    payload = token.token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert set(claims["acsScope"].split(",")) == set(scopes), claims["acsScope"]


async def assert_refused(work, status, message=None):
    try:
        await work
    except HttpResponseError as error:
        assert error.status_code == status, f"{error.status_code}: {error.message}"
        assert message is None or message in error.message, error.message
    else:
        raise AssertionError(f"not refused with {status}")


async def walk(client):
    async with client:
        user = await client.create_user()
        assert_user(user)
        assert_token(await client.get_token(user, ["chat"]))
        await client.revoke_tokens(user)
        await client.delete_user(user)


CHECKS = []


def operation(key):
    def add(check):
        CHECKS.append((key, check))
        return check

    return add


@operation("create")
async def _(client):
    assert_user(await client.create_user())


@operation("create-with-token")
async def _(client):
    user, token = await client.create_user_and_token(["chat"])
    assert_user(user)
    assert_token(token)


@operation("issue")
async def _(client):
    user = await client.create_user()
    for token in [await client.get_token(user, ["voip"]), await client.get_token(user, ["voip"])]:
        assert_token(token)
        assert await status_of(token) == 200


def scopes_check(scopes):
    @operation(f"scopes {' '.join(scopes)}")
    async def _(client):
        if RELEASE < (1, 4) and any("." in scope for scope in scopes):
            raise Absent("this scope came with 1.4.0")
        user, token = await client.create_user_and_token(scopes)
        assert_scopes(token, scopes)
        assert_scopes(await client.get_token(user, scopes), scopes)


for combination in [
    ["chat"],
    ["voip"],
    ["chat", "voip"],
    ["chat.join"],
    ["chat.join.limited"],
    ["voip.join"],
    ["chat", "chat.join", "chat.join.limited"],
    ["voip", "voip.join"],
    ["chat.join", "voip.join"],
]:
    scopes_check(combination)


def lifetime_check(minutes, allowed):
    @operation(f"lifetime {minutes}")
    async def _(client):
        if RELEASE < (1, 3):
            raise Absent("lifetimes came with 1.3.0")
        life = {"token_expires_in": timedelta(minutes=minutes)}
        if allowed:
            user, token = await client.create_user_and_token(["chat"], **life)
            assert_token(token, minutes)
            assert_token(await client.get_token(user, ["chat"], **life), minutes)
        else:
            user = await client.create_user()
            await assert_refused(client.create_user_and_token(["chat"], **life), 400)
            await assert_refused(client.get_token(user, ["chat"], **life), 400)


for bound in (60, 1440):
    lifetime_check(bound, True)
for beyond in (59, 1441):
    lifetime_check(beyond, False)


@operation("issue-empty-scopes")
async def _(client):
    user = await client.create_user()
    await assert_refused(client.get_token(user, []), 400, "Invalid scopes - Scopes field is required.")


@operation("issue-null-scopes")
async def _(client):
    user = await client.create_user()
    try:
        await assert_refused(client.get_token(user, None), 400, "Scopes: The Scopes field is required.")
    except (TypeError, ValueError) as error:
        raise Absent(f"the SDK refuses it by itself: {error}") from None


@operation("create-empty-scopes")
async def _(client):
    # The server answers without a token; the SDK then looks for the one that it did not ask for.
    for scopes in ([], None):
        try:
            await client.create_user_and_token(scopes)
        except AttributeError as error:
            assert "NoneType" in str(error), error
        else:
            raise AssertionError("a token came with no scopes")


@operation("foreign-identity")
async def _(client):
    for foreign in TASK["foreignIds"]:
        user, said = CommunicationUserIdentifier(foreign), "Provided identity doesn't belong to the resource."
        await assert_refused(client.get_token(user, ["chat"]), 401, said)
        await assert_refused(client.revoke_tokens(user), 401, said)
        await assert_refused(client.delete_user(user), 401, said)


@operation("revoke")
async def _(client):
    user, early = await client.create_user_and_token(["chat"])
    assert await status_of(early) == 200
    await client.revoke_tokens(user)
    assert await status_of(early) == 401
    assert await status_of(await client.get_token(user, ["chat"])) == 200


@operation("delete")
async def _(client):
    user, token = await client.create_user_and_token(["chat"])
    await client.delete_user(user)
    assert await status_of(token) == 401
    await client.delete_user(user)


@operation("custom-id")
async def _(_client):
    raise Absent("no published release has it")


@operation("older-versions")
async def _(_client):
    if RELEASE < (1, 1):
        raise Absent("the SDK lets nobody choose")
    known = ["2021-03-07", "2022-06-01", "2022-10-01", "2023-10-01"]
    if RELEASE < (1, 3):
        known = known[:2]
    for version in known:
        await walk(Client.of(TASK["connectionString"], api_version=version))


@operation("secondary-key")
async def _(_client):
    await walk(Client.of(TASK["secondaryConnectionString"]))


@operation("wrong-key")
async def _(_client):
    wrong = base64.b64encode(bytes(64)).decode()
    async with Client.of(f"endpoint={ENDPOINT}/;accesskey={wrong}") as stranger:
        await assert_refused(stranger.create_user(), 401, "Denied by the resource provider.")


@operation("endpoint-and-key")
async def _(_client):
    await walk(Client.at(ENDPOINT, TASK["key"]))


@operation("with-slash")
async def _(_client):
    async with Client.at(f"{ENDPOINT}/", TASK["key"]) as client:
        await assert_refused(client.create_user(), 401, "Denied by the resource provider.")
    raise Absent("the SDK signs a host name that ends with the slash and sends one that does not")


@operation("without-slash")
async def _(_client):
    await walk(Client.of(f"endpoint={ENDPOINT};accesskey={TASK['key']}"))


@operation("loopback-address")
async def _(_client):
    await walk(Client.of(f"endpoint=https://127.0.0.1:{TASK['port']}/;accesskey={TASK['key']}"))


@operation("plain-http")
async def _(_client):
    await walk(Client.at(f"http://localhost:{TASK['port']}", TASK["key"]))


@operation("token-credential")
async def _(_client):
    raise Absent("comes with the chat package")


@operation("parallel")
async def _(client):
    users = await asyncio.gather(*(client.create_user() for _ in range(20)))
    assert len({user.properties["id"] for user in users}) == 20


async def main():
    async with Client.of(TASK["connectionString"]) as client:
        for key, check in CHECKS:
            finding = {"operation": key, "outcome": "passed"}
            try:
                await check(client)
            except Absent as error:
                finding.update(outcome="absent", how=str(error))
            except Exception as error:  # noqa: BLE001 whatever it is, it is the finding
                line = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__][-1].lineno
                how = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}").strip()
                finding.update(outcome="differs", how=f"{how} (line {line})")
            print(json.dumps(finding), flush=True)


asyncio.run(main())
