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
import azure.identity
import azure.identity.aio
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

    @classmethod
    def without_key(cls, endpoint, credential):
        return cls(cls._kind()(endpoint, credential))

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


def claims_of(jwt):
    payload = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def assert_scopes(token, scopes):
    claims = claims_of(token.token)
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
    async with Client.of(f"endpoint={ENDPOINT}/;accesskey={wrong}") as unknown_caller:
        await assert_refused(unknown_caller.create_user(), 401, "Denied by the resource provider.")


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


CREDENTIALS = azure.identity.aio if ASYNC else azure.identity


def require_credentials():
    if ASYNC and RELEASE < (1, 1):
        raise Absent("with a credential the asyncio client of this release awaits nothing, and does not work")


async def walk_without_key(credential):
    """The quickstart without a key, at either spelling of the endpoint."""
    for endpoint in (ENDPOINT, f"{ENDPOINT}/"):
        await walk(Client.without_key(endpoint, credential))
    closed = credential.close()
    if inspect.isawaitable(closed):
        await closed


@operation("entra managed-identity")
async def _(_client):
    require_credentials()
    await walk_without_key(CREDENTIALS.DefaultAzureCredential())


@operation("entra client-secret")
async def _(_client):
    require_credentials()
    application = TASK["application"]
    given = application["tenant"], application["id"], application["secret"]
    await walk_without_key(CREDENTIALS.ClientSecretCredential(*given, authority=ENDPOINT))


@operation("entra management")
async def _(_client):
    if RELEASE < (1, 5) or ASYNC:
        raise Absent("it is another package, run beside the newest release")
    from azure.mgmt.communication import CommunicationServiceManagementClient

    services = CommunicationServiceManagementClient(
        azure.identity.DefaultAzureCredential(),
        "5e1f0057-0000-4000-8000-000000000001",
        base_url=ENDPOINT,
        credential_scopes=[f"{ENDPOINT}/.default"],
    ).communication_services
    place = "dev", "entra-python"
    made = services.begin_create_or_update(*place, {"location": "global", "properties": {"dataLocation": "Europe"}}).result()
    assert made.properties.provisioning_state == "Succeeded", made
    assert "entra-python" in [service.name for service in services.list_by_resource_group("dev")]
    keys = services.list_keys(*place)
    async with Client.of(keys.primary_connection_string) as client:
        _, token = await client.create_user_and_token(["chat"])
    assert await status_of(token) == 200
    services.regenerate_key(*place, {"keyType": "Primary"})
    assert await status_of(token) == 401
    services.begin_delete(*place).result()
    try:
        services.get(*place)
    except HttpResponseError as error:
        assert error.status_code == 404, error.message
    else:
        raise AssertionError("still there")


NOBODY = "00000000-0000-0000-0000-000000000000"
NOT_VALID = 401, "Provided access token is not valid."
TEAMS_USER = TASK["teamsUser"]
# What is wrong with each wish, and how it is refused.
REFUSED = {
    "empty-token": [({"token": ""}, NOT_VALID)],
    "malformed-token": [({"token": "invalid"}, NOT_VALID)],
    "expired-token": [({"token": TEAMS_USER["expiredToken"]}, NOT_VALID)],
    "empty-ids": [
        ({"appId": ""}, (400, "AppId: The AppId field is required.")),
        ({"userId": ""}, (400, "UserId: The UserId field is required.")),
    ],
    "malformed-ids": [
        ({"appId": "invalid"}, (400, "Provided AppId has invalid format.")),
        ({"userId": "invalid"}, (400, "Provided UserId has invalid format.")),
    ],
    "other-ids": [
        ({"appId": NOBODY}, (400, "AAD application is not the expected one.")),
        ({"userId": NOBODY}, (400, "Provided AAD token issued for unexpected user.")),
    ],
}


class Service:
    """A client that is proven by one of the two."""

    def __init__(self, proof, by_key):
        self._proof, self._by_key = proof, by_key

    async def __aenter__(self):
        if RELEASE < (1, 1):
            raise Absent("the exchange came with 1.1.0")
        if self._proof == "key":
            return self._by_key
        self._credential = CREDENTIALS.DefaultAzureCredential()
        self._client = Client.without_key(ENDPOINT, self._credential)
        return self._client

    async def __aexit__(self, *_):
        if self._proof == "entra":
            await self._client.__aexit__()
            closed = self._credential.close()
            if inspect.isawaitable(closed):
                await closed


def exchange(service, **wish):
    wish = {**TEAMS_USER, **wish}
    return service.get_token_for_teams_user(wish["token"], wish["appId"], wish["userId"])


def exchange_checks(proof):
    @operation(f"teams-user good {proof}")
    async def _(client):
        async with Service(proof, client) as service:
            token = await exchange(service)
            assert_scopes(token, ["chat", "voip"])
            end = claims_of(TEAMS_USER["token"])["exp"]
            assert end == claims_of(token.token)["exp"] == instant(token.expires_on).timestamp(), token.expires_on
            assert await status_of(token) == 200

    for name, wishes in REFUSED.items():
        refusal_check(name, wishes, proof)


def refusal_check(name, wishes, proof):
    @operation(f"teams-user {name} {proof}")
    async def _(client):
        async with Service(proof, client) as service:
            for wish, refused in wishes:
                await assert_refused(exchange(service, **wish), *refused)


exchange_checks("key")
exchange_checks("entra")


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
